"""Operators that a file leaves in float and the runtime makes INT8 all the same.

Where a Conv or a Gemm with constant float weights stands between a DequantizeLinear and a QuantizeLinear, onnxruntime quantises its
weights by itself when it loads the file: to 8 bits, with one step for all channels. On a processor whose 8-bit products saturate that
is silently wrong, and everywhere it is not what was calibrated.
"""

from __future__ import annotations

import onnx

from shared.compress import graph
from shared.compress.scope import WEIGHTED


def silently_quantised(content: bytes) -> tuple[str, ...]:
    """Outputs of the operators of a QDQ file that the runtime would quantise by itself, in the graph's order; none of a sound file."""
    model = graph.parse(content)
    producers = {name: node for node in model.graph.node for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found = [node for node in model.graph.node if node.op_type in WEIGHTED and _between(node, producers, readers)]
    return tuple(str(node.output[0]) for node in found)


def _between(node: onnx.NodeProto, producers: dict[str, onnx.NodeProto], readers: dict[str, list[onnx.NodeProto]]) -> bool:
    weights = producers.get(node.input[1])
    if _kind(producers.get(node.input[0])) != "DequantizeLinear" or _kind(weights) == "DequantizeLinear":
        return False
    following = readers.get(node.output[0], [])
    if len(following) == 1 and following[0].op_type in ("Relu", "Clip"):
        following = readers.get(following[0].output[0], [])
    return any(other.op_type == "QuantizeLinear" for other in following)


def _kind(node: onnx.NodeProto | None) -> str:
    return "" if node is None else str(node.op_type)
