"""Secure aggregation runs where nothing but numpy and cryptography is installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys, importlib
ALLOWED = {"numpy", "cryptography", "cffi", "_cffi_backend", "shared", "typing_extensions"}

class Only:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in ALLOWED and top not in sys.stdlib_module_names and not top.startswith("__editable__"):
            raise ImportError(f"{name} is not allowed here")
        return None

sys.meta_path.insert(0, Only())
for blocked in ("torch", "pydantic", "google.protobuf", "flwr"):
    try:
        importlib.import_module(blocked)
    except ImportError:
        continue
    raise SystemExit(f"{blocked} could be imported: the test does not test")
importlib.import_module(sys.argv[1])
"""


@pytest.mark.parametrize("module", ["institution", "coordinator", "encoding"])
def test_it_imports_with_numpy_and_cryptography_alone(module: str) -> None:
    done = subprocess.run([sys.executable, "-c", CODE, f"shared.secagg.{module}"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
