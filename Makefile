# Two commands do everything: `make simulate` and `make test`. Each makes the virtual environment the first time.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: simulate test faults nightly check proto clean
simulate: $(STAMP)
	$(BIN)/fedstill simulate

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

faults: $(STAMP)  # every process broken at every point: hours; docs/results/faults.md
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -v -m faults tests/e2e/faults

nightly: $(STAMP)  # signed artifacts on emulated ARM: FEDSTILL_ARM_PYTHON, docs/devices.md
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -v -m nightly -rs tests/benchmarks/test_edge_arm.py

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict fedstill server client shared scripts benchmarks
	$(BIN)/lint-imports
	$(BIN)/python scripts/generate_rpc.py --check
	$(BIN)/python scripts/generate_config_docs.py --check

proto: $(STAMP)
	$(BIN)/python scripts/generate_rpc.py

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV) || (echo "python3.11 and its venv module are needed: apt-get install python3.11 python3.11-venv" >&2; exit 1)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
