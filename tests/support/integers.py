"""Graphs of integers alone, as the runtime has them once it has fused an INT8 file, with records that reach every corner of their grids."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

Graph = tuple[bytes, NDArray[Any]]


def integer_graphs() -> dict[str, Graph]:
    """ONNX bytes over ``inputs`` and records for them, by what they compute; 7-bit weights, so that no sum saturates anywhere."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (100, 32, 8, 8)).astype(np.uint8)
    rows = random.integers(0, 256, (300, 64)).astype(np.uint8)
    halves = (random.integers(-200, 300, (300, 64)) * 0.5 * 0.0123).astype(np.float32)
    return {
        "convolution": (_convolution(random), images),
        "product": (_product(random), rows),
        "quantising values half-way between steps": (_quantising(), halves),
    }


def _convolution(random: np.random.Generator) -> bytes:
    names = ["inputs", "x_scale", "x_zero", "w", "w_scale", "w_zero", "y_scale", "y_zero", "bias"]
    constants = {
        "x_scale": np.float32(0.02),
        "x_zero": np.uint8(0),
        "w": random.integers(-63, 64, (32, 32, 3, 3)).astype(np.int8),
        "w_scale": random.uniform(0.001, 0.004, 32).astype(np.float32),
        "w_zero": np.zeros(32, np.int8),
        "y_scale": np.float32(0.05),
        "y_zero": np.uint8(110),
        "bias": random.integers(-2000, 2000, 32).astype(np.int32),
    }
    node = helper.make_node("QLinearConv", names, ["logits"], pads=[1, 1, 1, 1])
    return _graph(node, constants, TensorProto.UINT8, ["batch", 32, 8, 8], TensorProto.UINT8)


def _product(random: np.random.Generator) -> bytes:
    constants = {
        "x_scale": np.float32(0.02),
        "x_zero": np.uint8(3),
        "w": random.integers(-63, 64, (10, 64)).astype(np.int8),
        "w_scale": random.uniform(0.001, 0.004, 10).astype(np.float32),
        "w_zero": np.zeros(10, np.int8),
        "bias": random.integers(-200, 200, 10).astype(np.int32),
    }
    node = helper.make_node("QGemm", ["inputs", *constants], ["logits"], domain="com.microsoft", transB=1)
    return _graph(node, constants, TensorProto.UINT8, ["batch", 64], TensorProto.FLOAT)


def _quantising() -> bytes:
    constants = {"scale": np.float32(0.0123), "zero": np.uint8(100)}
    node = helper.make_node("QuantizeLinear", ["inputs", *constants], ["logits"])
    return _graph(node, constants, TensorProto.FLOAT, ["batch", 64], TensorProto.UINT8)


def _graph(node: NodeProto, constants: dict[str, Any], kind: int, shape: list[int | str], result: int) -> bytes:
    inputs, logits = helper.make_tensor_value_info("inputs", kind, shape), helper.make_tensor_value_info("logits", result, None)
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    drawn = helper.make_graph([node], "integers", [inputs], [logits], tensors)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    made: bytes = helper.make_model(drawn, opset_imports=opsets, ir_version=10).SerializeToString()
    return made
