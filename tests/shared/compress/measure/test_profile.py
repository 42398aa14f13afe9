from __future__ import annotations

import itertools
import subprocess
import sys
import tomllib

import numpy as np
import pytest

from shared.compress.cost import predict
from shared.compress.devices import DeviceProfile, read_profile
from shared.compress.measure import __main__ as command
from shared.compress.measure import profile as module
from shared.compress.measure.cases import cases
from shared.compress.measure.machine import Machine
from shared.compress.measure.profile import measured_profile, rendered, tables

UNKNOWN = Machine("a board", "aarch64", ("unknown",), 2, None, None, ())


@pytest.fixture
def instant(monkeypatch):
    """No clock: each operator takes a nanosecond a number, give or take a tenth, so that some tables must be mended."""
    random = np.random.default_rng(1)
    monkeypatch.setattr(module, "measure", lambda found, **_: [1e-9 * case.rows * case.work * random.uniform(0.1, 1) for case in found])
    monkeypatch.setattr(module, "read_bandwidth", lambda size: 1e9 + size)
    monkeypatch.setattr(module, "in_turns", lambda case, budget: (2e-6, 1e-6))


def test_what_is_measured_is_a_profile_whose_file_says_the_same(instant, tmp_path, graphs_file):
    made = measured_profile("gateway", quick=True)
    path = tmp_path / "gateway.toml"
    path.write_text(rendered(made))
    assert tomllib.loads(path.read_text()) == made
    profile = read_profile(path)
    assert isinstance(profile, DeviceProfile)
    assert {source.kind for source in profile.sources.values()} == {"measured", "estimated"}
    assert predict(graphs_file, profile).measured_share > 0.9


def test_where_the_system_is_silent_the_profile_says_that_it_assumes(instant, monkeypatch):
    monkeypatch.setattr(module, "this_machine", lambda: UNKNOWN)
    profile = DeviceProfile.model_validate(measured_profile("board", quick=True))
    assert {profile.clock.source, profile.memory_bytes.source, profile.caches[0].bytes.source} == {"unknown"}
    assert profile.sources["unknown"].kind == "estimated"
    assert profile.grids[0] == "u8s8"


def test_a_machine_that_may_saturate_gets_grids_that_cannot(instant, monkeypatch):
    monkeypatch.setattr(module, "this_machine", lambda: Machine("old", "x86_64", ("avx2",), 2, 3e9, 2**30, (32768,)))
    assert not DeviceProfile.model_validate(measured_profile("old", quick=True)).saturates


def test_where_noise_says_that_more_takes_less_the_longer_time_stands():
    found = [case for case in cases(block=16, quick=True) if case.kind == "softmax"]
    noise = np.random.default_rng(2).uniform(1e-6, 2e-6, len(found))
    (entry,) = tables(found, list(noise))
    for line in (*entry["seconds"], *zip(*entry["seconds"], strict=True)):
        assert all(before <= after for before, after in itertools.pairwise(line))


@pytest.mark.parametrize(
    ("arguments", "said"), [(["--out", "board.json"], "must end in .toml"), (["--out", "My Board.toml"], "is no name")]
)
def test_a_file_that_could_not_be_used_is_refused_before_measuring(arguments, said, capsys):
    with pytest.raises(SystemExit):
        command.main(arguments)
    assert said in capsys.readouterr().err


def test_the_command_writes_the_profile(instant, tmp_path, capsys):
    path = tmp_path / "board.toml"
    assert command.main(["--out", str(path), "--quick"]) == 0
    assert read_profile(path).name == "board"
    assert capsys.readouterr().out.strip() == str(path)


def test_a_device_needs_numpy_onnx_and_onnxruntime_alone():
    code = """
import sys
for name in ("torch", "pydantic", "pydantic_core", "typer", "rich", "tomli_w", "rapidfuzz", "scipy", "cryptography", "grpc", "onnxscript"):
    sys.modules[name] = None
from shared.compress.measure.__main__ import main
from shared.compress.measure.cases import cases
from shared.compress.measure.timing import measure
print(measure(list(cases(block=16, quick=True))[:1], passes=1, budget=0.0)[0] > 0)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == "True", found.stderr


@pytest.fixture
def graphs_file():
    """A small INT8 graph."""
    return next(case for case in cases(block=16, quick=True) if case.kind == "gemm" and case.int8).pair()[1]
