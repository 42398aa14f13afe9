from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from shared.compress import runtime
from shared.errors import ArtifactError


def test_batches_do_not_change_the_answers(dense_onnx):
    inputs = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)
    loaded = runtime.session(dense_onnx)
    np.testing.assert_allclose(runtime.logits(loaded, inputs, batch=7), runtime.logits(loaded, inputs), atol=1e-6)


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 16, 64])
def test_an_int8_student_gives_the_same_bits_in_any_company(table_int8, table_rows, batch):
    loaded = runtime.session(table_int8)
    np.testing.assert_array_equal(runtime.logits(loaded, table_rows, batch=batch), runtime.logits(loaded, table_rows))


def test_no_records_give_an_empty_answer_of_the_right_width(dense_onnx):
    assert runtime.logits(runtime.session(dense_onnx), np.zeros((0, 4), np.float32)).shape == (0, 3)


def test_exact_sessions_compute_the_same(dense_onnx):
    inputs = np.random.default_rng(1).normal(size=(9, 4)).astype(np.float32)
    plain, exact = (runtime.logits(runtime.session(dense_onnx, exact=exact), inputs) for exact in (False, True))
    np.testing.assert_allclose(exact, plain, atol=1e-5)


def test_what_is_no_model_is_refused(capfd):
    with pytest.raises(ArtifactError, match="cannot load"):
        runtime.session(b"no model")
    assert capfd.readouterr() == ("", "")


def test_wrong_shapes_are_refused_quietly(dense_onnx, capfd):
    with pytest.raises(ArtifactError, match=r"takes tensor\(float\) of shape \['batch', 4\], but got float32 of shape \[2, 5\]"):
        runtime.logits(runtime.session(dense_onnx), np.zeros((2, 5), np.float32))
    assert capfd.readouterr() == ("", "")


ALONE = """
import sys, threading
from pathlib import Path
import numpy as np
from shared.compress import runtime
content, inputs, found = Path(sys.argv[1]).read_bytes(), np.load(sys.argv[2]), []
if sys.argv[3] == "flush":
    runtime.flush_denormals()
session = runtime.session(content)
def answer():
    np.save(sys.argv[4], runtime.logits(session, inputs))
    found.append(float(np.float32(1e-38) * np.float32(0.01)))
other = threading.Thread(target=answer)
other.start()
other.join()
answer()
print(*(value == 0.0 for value in found))
"""


def test_masked_tokens_count_as_nothing_and_no_answer_changes(make_graph, tmp_path):
    """In processes of their own: what the first session of a process sets, stays."""
    random = np.random.default_rng(3)
    constants = {"v": random.normal(size=(16, 4)).astype(np.float32), "none": np.float32(0.0), "hidden": np.float32(-1e4)}
    nodes = [
        helper.make_node("Equal", ["inputs", "none"], ["masked"]),
        helper.make_node("Where", ["masked", "hidden", "inputs"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["seen"]),
        helper.make_node("MatMul", ["seen", "v"], ["logits"]),
    ]
    (tmp_path / "masked.onnx").write_bytes(make_graph(nodes, constants, ["batch", 16], 4))
    inputs = random.normal(size=(40, 16)).astype(np.float32)
    inputs[:, 5:] = 0.0
    np.save(tmp_path / "inputs.npy", inputs)
    given = [str(tmp_path / "masked.onnx"), str(tmp_path / "inputs.npy")]
    said = {}
    for how in ("flush", "plain"):
        command = [sys.executable, "-c", ALONE, *given, how, str(tmp_path / f"{how}.npy")]
        said[how] = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=120, check=True).stdout
    assert said["plain"].split() == ["False", "False"]
    assert said["flush"].split() in (["True", "True"], ["False", "False"]), "all threads, or a processor that cannot"
    np.testing.assert_array_equal(np.load(tmp_path / "flush.npy"), np.load(tmp_path / "plain.npy"))
