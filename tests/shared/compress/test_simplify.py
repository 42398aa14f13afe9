from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from shared.compress import graph, runtime
from shared.compress.simplify import fold_gains


def convolution_with_gain(gain: np.ndarray, *, read_twice: bool = False) -> bytes:
    """Graph: inputs (batch, 2, 4, 4) -> Conv of 3 channels -> gain -> mean over pixels -> logits (batch, 3)."""
    random = np.random.default_rng(2)
    constants = {
        "w": random.normal(size=(3, 2, 3, 3)).astype(np.float32),
        "b": random.normal(size=3).astype(np.float32),
        "gain": gain,
        "axes": np.array([2, 3], np.int64),
    }
    nodes = [
        helper.make_node("Conv", ["inputs", "w", "b"], ["c"], "conv"),
        helper.make_node("Mul", ["gain", "c"], ["m"], "gain"),
        helper.make_node("Add", ["m", "c"], ["s"], "sum") if read_twice else helper.make_node("Relu", ["m"], ["s"], "relu"),
        helper.make_node("ReduceMean", ["s", "axes"], ["logits"], "mean", keepdims=0),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("inputs", ["batch", 2, 4, 4]), ("logits", ["batch", 3]))]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    made = helper.make_graph(nodes, "gain", ends[:1], ends[1:], tensors)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()


GAINS = {
    "number": np.array(0.3, np.float32),
    "one a channel": np.array([0.1, -2.0, 3.0], np.float32).reshape(3, 1, 1),
    "with batch axis": np.array([0.1, -2.0, 3.0], np.float32).reshape(1, 3, 1, 1),
}


@pytest.mark.parametrize("name", GAINS)
def test_folding_keeps_the_answers(name):
    content = convolution_with_gain(GAINS[name])
    model = graph.parse(content)
    fold_gains(model)
    assert [node.op_type for node in model.graph.node] == ["Conv", "Relu", "ReduceMean"]
    inputs = np.random.default_rng(3).normal(size=(4, 2, 4, 4)).astype(np.float32)
    before, after = (runtime.logits(runtime.session(c), inputs) for c in (content, graph.serialise(model)))
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_a_gain_along_the_pixels_stays():
    model = graph.parse(convolution_with_gain(np.array([0.5, 2.0], np.float32)))
    fold_gains(model)
    assert "Mul" in [node.op_type for node in model.graph.node]


def test_a_convolution_that_others_read_stays():
    model = graph.parse(convolution_with_gain(GAINS["number"], read_twice=True))
    fold_gains(model)
    assert "Mul" in [node.op_type for node in model.graph.node]
