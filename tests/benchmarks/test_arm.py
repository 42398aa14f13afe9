from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks import arm
from benchmarks.arm import COMMAND, COUNTER, CPUS, Asked, Counts, answers, counted, counts_in, machine, missing
from shared.compress import runtime

INPUTS = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)


def one_product() -> bytes:
    weight = numpy_helper.from_array(np.random.default_rng(2).normal(size=(4, 3)).astype(np.float32), "w")
    inputs = helper.make_tensor_value_info("inputs", TensorProto.FLOAT, ["batch", 4])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])
    drawn = helper.make_graph([helper.make_node("MatMul", ["inputs", "w"], ["logits"])], "one", [inputs], [logits], [weight])
    made: bytes = helper.make_model(drawn, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()
    onnx.checker.check_model(onnx.load_from_string(made))
    return made


@pytest.fixture
def this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's own Python in the place of one on ARM: the orders are the same."""
    monkeypatch.setenv(COMMAND, sys.executable)


def emulator(folder: Path, log: str) -> str:
    """A command in the emulator's place that runs nothing and writes what its plugin would."""
    script = folder / "emulator.py"
    script.write_text(f"import os\nopen(os.environ['QEMU_LOG_FILENAME'], 'w').write({log!r})\n")
    return f"{sys.executable} {script}"


def test_without_a_command_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(COMMAND, raising=False)
    assert missing() == "FEDSTILL_ARM_PYTHON is not set, so nothing is run on ARM; docs/devices.md says how to make such a command"


@pytest.mark.usefixtures("this_python")
def test_counting_needs_the_emulators_plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(COUNTER, raising=False)
    assert missing() == ""
    assert missing(counting=True).startswith("FEDSTILL_ARM_COUNTER is not the emulator's plugin")
    (tmp_path / "arm_counter.so").touch()
    monkeypatch.setenv(COUNTER, str(tmp_path / "arm_counter.so"))
    assert missing(counting=True) == ""


@pytest.mark.usefixtures("this_python")
def test_a_file_is_answered_by_the_other_side_in_the_order_asked() -> None:
    content = one_product()
    found = answers([Asked(INPUTS, model=content), Asked(INPUTS[:2], model=content)], "cortex-a53")
    assert np.array_equal(found[0], runtime.logits(runtime.session(content), INPUTS))
    assert np.array_equal(found[1], found[0][:2])


def test_an_artifact_is_verified_on_the_other_side(this_python: None, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ended with 1"):
        answers([Asked(INPUTS, folder=tmp_path, key=bytes(32))], "cortex-a53")


def test_the_core_is_named_to_the_emulator_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(COMMAND, f'{sys.executable} -c \'import os; print(os.environ["QEMU_CPU"], os.environ.get("QEMU_LOG"))\'')
    monkeypatch.setenv("QEMU_LOG", "cpu")
    assert machine("i8mm") == f"{CPUS['i8mm']} None"


@pytest.mark.usefixtures("this_python")
def test_calls_are_counted_in_processes_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Five totals: of two graphs, each without and with calls, and of the process that they are copies of."""
    asked = [Asked(INPUTS, model=one_product())] * 2
    monkeypatch.setenv(COUNTER, str(tmp_path / "arm_counter.so"))
    totals = ((100, 7, 3), (150, 27, 3), (200, 8, 4), (1200, 108, 2), (90, 1, 1))
    monkeypatch.setenv(COMMAND, emulator(tmp_path, "".join(f"total insns: {all}\nmisses: {one} {two}\n" for all, one, two in totals)))
    assert counted(asked, "cortex-a72") == [Counts(50 / arm.CALLS, (20 / arm.CALLS, 0)), Counts(1000 / arm.CALLS, (100 / arm.CALLS, 0))]
    monkeypatch.setenv(COMMAND, emulator(tmp_path, "total insns: 4\nmisses: 0 0\n"))
    with pytest.raises(RuntimeError, match="1 totals for 5 processes"):
        counted(asked, "cortex-a72")


def test_orders_to_run_alone_are_carried_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.onnx").write_bytes(one_product())
    np.save(tmp_path / "one.npy", INPUTS)
    orders = [{"model": str(tmp_path / "one.onnx"), "inputs": str(tmp_path / "one.npy"), "times": [0, 2]}]
    (tmp_path / "orders.json").write_text(json.dumps(orders))
    monkeypatch.setenv(COMMAND, sys.executable)
    assert arm._run(["-m", "benchmarks.arm_side", str(tmp_path / "orders.json")], "cortex-a53", {}) == ""


def test_totals_are_read_from_the_plugins_own_lines() -> None:
    log = "other\ntotal insns: 7\nmisses: 3 1\nother\ntotal insns: 10\nmisses: 0 0\ntotal insns: 9\n"
    assert counts_in(log) == [Counts(7, (3, 1)), Counts(10, (0, 0))]


def test_the_emulated_caches_are_the_profiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(COUNTER, str(tmp_path / "arm_counter.so"))
    monkeypatch.setenv(COMMAND, f"{sys.executable} -c 'import os, sys; sys.exit(os.environ[\"QEMU_PLUGIN\"])'")
    with pytest.raises(RuntimeError, match=r"arm_counter\.so,l1=65536,l2=524288$"):
        counted([Asked(INPUTS, model=one_product())], "cortex-a76")
