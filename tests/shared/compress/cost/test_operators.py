from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from shared.compress.cost.fused import fused
from shared.compress.cost.operators import operators
from tests.shared.compress.cost.conftest import in_int8


def model(nodes, shape, weights, out=("batch", None)):
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("inputs", shape), ("logits", out))]
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    made = helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()


def convolution(inputs=8, outputs=16, kernel=3, groups=1):
    weights = np.ones((outputs, inputs // groups, kernel, kernel), np.float32)
    node = helper.make_node("Conv", ["inputs", "w"], ["logits"], "conv", pads=[kernel // 2] * 4, group=groups)
    return model([node], ["batch", inputs, 6, 5], {"w": weights}, ["batch", outputs, 6, 5])


@pytest.mark.parametrize(
    ("content", "kind", "work"),
    [
        (convolution(), "spatial", 8 * 9 * 16),
        (convolution(kernel=1), "pointwise", 8 * 16),
        (convolution(inputs=16, groups=16), "depthwise", 9 * 16),
        (convolution(inputs=1), "spatial", 9 * 16),
    ],
)
def test_a_convolution_is_counted_by_pixels_and_work(content, kind, work):
    (found,) = operators(fused(content))
    assert (found.kind, found.rows, found.work, found.columns, found.int8) == (kind, 30, work, 16, False)
    assert found.macs == 30 * work
    assert found.writes == 30 * 16 * 4


def test_a_product_with_constant_weights_and_one_of_activations():
    nodes = [
        helper.make_node("MatMul", ["inputs", "w"], ["a"], "gemm"),
        helper.make_node("Transpose", ["a"], ["t"], "turn", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["a", "t"], ["logits"], "product"),
    ]
    content = model(nodes, ["batch", 7, 8], {"w": np.ones((8, 12), np.float32)}, ["batch", 7, 7])
    found = {entry.kind: entry for entry in operators(fused(content))}
    assert (found["gemm"].rows, found["gemm"].work, found["gemm"].columns) == (7, 96, 12)
    assert (found["product"].rows, found["product"].work) == (7, 84)
    assert found["gemm"].weights == 8 * 12 * 4


def test_int8_keeps_the_multiplications_of_float():
    weights = {"w": np.ones((8, 12), np.float32), "axes": np.array([1], np.int64)}
    nodes = [
        helper.make_node("MatMul", ["inputs", "w"], ["a"], "gemm"),
        helper.make_node("ReduceMean", ["a", "axes"], ["logits"], "mean", keepdims=0),
    ]
    content = model(nodes, ["batch", 7, 8], weights, ["batch", 12])
    (before,), (after,) = ([entry for entry in operators(fused(c)) if entry.macs] for c in (content, in_int8(content)))
    assert before.macs == after.macs == 7 * 8 * 12
    assert not before.int8
    assert after.int8
    assert after.weights < before.weights


def test_every_family_keeps_its_multiplications_in_int8(graphs):
    for content, quantised in graphs.values():
        counts = [sum(entry.macs for entry in operators(fused(c))) for c in (content, quantised)]
        assert counts[0] == counts[1] > 0
        assert not any(entry.int8 for entry in operators(fused(content)))
        assert any(entry.int8 and entry.macs for entry in operators(fused(quantised)))


@pytest.mark.parametrize(
    ("shape", "kind", "rows", "span"),
    [
        ((8,), "broadcast", 21, 8),
        ((7, 8), "broadcast", 3, 56),
        ((3, 1, 1), "broadcast", 3, 56),
        ((3, 7, 1), "broadcast", 21, 8),
        ((1,), "elementwise", 1, 168),
        ((3, 7, 8), "elementwise", 1, 168),
    ],
)
def test_what_is_repeated_is_counted_by_the_runs_between(shape, kind, rows, span):
    node = helper.make_node("Add", ["inputs", "w"], ["logits"], "sum")
    content = model([node], ["batch", 3, 7, 8], {"w": np.full(shape, 2, np.float32)}, ["batch", 3, 7, 8])
    (found,) = operators(fused(content))
    assert (found.kind, found.rows, found.work) == (kind, rows, span)
