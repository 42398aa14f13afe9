"""Which operators of a QDQ graph are computed in INT8: those whose every data input comes from a DequantizeLinear."""

from __future__ import annotations

from collections import Counter

from shared.compress import graph
from shared.compress.manifest import Operators

_CONVERSIONS = frozenset({"QuantizeLinear", "DequantizeLinear"})


def count_operators(content: bytes) -> Operators:
    """The graph's nodes by operator, in INT8 and in float; conversions between the two are not counted."""
    model = graph.parse(content)
    dequantised = {name for node in model.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    integer: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for node in model.graph.node:
        if node.op_type not in _CONVERSIONS:
            whole = bool(node.input) and all(name in dequantised for name in node.input if name)
            (integer if whole else others)[node.op_type] += 1
    return Operators(int8=dict(sorted(integer.items())), float=dict(sorted(others.items())))
