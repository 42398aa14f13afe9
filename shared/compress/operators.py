"""Which operators of a QDQ graph are computed in INT8: those whose every data input comes from a DequantizeLinear."""

from __future__ import annotations

from collections import Counter

import onnx

from shared.compress import graph
from shared.compress.manifest import Operators
from shared.compress.scope import WEIGHTED

_CONVERSIONS = frozenset({"QuantizeLinear", "DequantizeLinear"})


def count_operators(content: bytes) -> Operators:
    """The graph's nodes by operator, in INT8 and in float; conversions between the two are not counted, nor is what makes floats of
    weights that are kept in 8 bits: the runtime does it once, when it loads the file."""
    model = graph.parse(content)
    dequantised = {name for node in model.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    restoring, restored = _restored(model)
    integer: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for node in model.graph.node:
        if node.op_type not in _CONVERSIONS and not restoring & set(node.output):
            whole = bool(node.input) and all(name in dequantised for name in node.input if name)
            (integer if whole else others)[node.op_type] += 1
    weights = sum(node.op_type in WEIGHTED and len(node.input) > 1 and node.input[1] in restored for node in model.graph.node)
    return Operators(int8=dict(sorted(integer.items())), float=dict(sorted(others.items())), weights=weights)


def _restored(model: onnx.ModelProto) -> tuple[set[str], set[str]]:
    """What becomes of 8-bit constants outside INT8 operators: all tensors on the way to float weights, and those weights."""
    stored = {tensor.name for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.INT8}
    casts = {node.output[0] for node in model.graph.node if node.op_type == "Cast" and node.input[0] in stored}
    weights = {node.output[0] for node in model.graph.node if node.op_type == "Mul" and node.input[0] in casts}
    return casts | weights, weights
