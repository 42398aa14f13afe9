"""Which nodes of a graph are computed in INT8, and which tensors need a range for it.

Conv, MatMul and Gemm with constant weights carry nearly all of the arithmetic. A residual Add between two quantised
tensors stays in INT8 too, so that a convolutional net never leaves it. Depthwise convolutions do as well: left in float between
two INT8 ones, the runtime quantises them by itself, with one step for all channels and weights of 8 bits, which may saturate.
Products of two activations stay in float (attention scores and contexts: small, and the least forgiving).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import onnx
from onnx import numpy_helper

WEIGHTED = ("Conv", "MatMul", "Gemm")
"""The operators whose weights may be constants."""


@dataclass(frozen=True)
class Scope:
    """``weighted``: names of Conv, MatMul, Gemm nodes with constant weights; ``sums``: residual Add nodes.

    ``inputs`` are tensors that are read in INT8, ``outputs`` tensors that are written in INT8 (after their Relu or Clip, if any).
    """

    weighted: tuple[str, ...]
    sums: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def tensors(self) -> tuple[str, ...]:
        """The tensors that need a range, each once, in a fixed order."""
        return tuple(dict.fromkeys((*self.inputs, *self.outputs)))


def scope(model: onnx.ModelProto, *, attention: bool = True, in_float: Collection[str] = ()) -> Scope:
    """What is computed in INT8; without ``attention`` the projections just before and after attention are not, nor are the nodes
    named ``in_float``. Its tensors are among those of the whole scope, so ranges that were agreed on for all of it suffice."""
    constants = {tensor.name for tensor in model.graph.initializer}
    weighted = [node for node in model.graph.node if _is_weighted(node, constants)]
    if not attention:
        near = _around_attention(model, weighted)
        weighted = [node for node in weighted if node.name not in near]
    weighted = [node for node in weighted if node.name not in in_float]
    outputs = [written(model, node) for node in weighted if node.op_type == "Conv"]
    sums = []
    for node in model.graph.node:
        if node.op_type == "Add" and all(name in outputs for name in node.input):
            sums.append(node.name)
            outputs.append(written(model, node))
    inputs = [node.input[0] for node in weighted]
    return Scope(tuple(node.name for node in weighted), tuple(sums), tuple(dict.fromkeys(inputs)), tuple(dict.fromkeys(outputs)))


def written(model: onnx.ModelProto, node: onnx.NodeProto) -> str:
    """The tensor that holds a node's result: its output, or that of the Relu which alone reads it."""
    relu = absorbed_relu(model, node)
    return str(relu.output[0] if relu is not None else node.output[0])


def absorbed_relu(model: onnx.ModelProto, node: onnx.NodeProto) -> onnx.NodeProto | None:
    """The Relu, or the Clip from 0, that alone reads the node's output: an unsigned grid that starts at zero does its work.

    A Clip's upper end is that of the grid: no value that was counted after it lies above.
    """
    readers = [other for other in model.graph.node if node.output[0] in other.input]
    if len(readers) == 1 and _rectifies(model, readers[0]) and node.output[0] not in {value.name for value in model.graph.output}:
        return readers[0]
    return None


def _rectifies(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    if node.op_type != "Clip":
        return node.op_type == "Relu"
    low = [tensor for tensor in model.graph.initializer if len(node.input) > 1 and tensor.name == node.input[1]]
    return len(low) == 1 and float(numpy_helper.to_array(low[0])) == 0.0


def _around_attention(model: onnx.ModelProto, weighted: list[onnx.NodeProto]) -> set[str]:
    """Names of the weighted nodes from which, or to which, a product of two activations is reached past no other."""
    barriers = {node.name for node in weighted}
    producers = {name: node for node in model.graph.node for name in node.output}
    found: set[str] = set()
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.name not in barriers and all(name in producers for name in node.input):
            found |= _weighted_before(node, producers, barriers)
    products = {node.name for node in model.graph.node if node.op_type == "MatMul" and node.name not in barriers}
    for node in weighted:
        if node.input[0] in producers and _reached(producers[node.input[0]], producers, barriers | products) & products:
            found.add(node.name)
    return found


def _weighted_before(node: onnx.NodeProto, producers: dict[str, onnx.NodeProto], barriers: set[str]) -> set[str]:
    reached = {name for source in node.input for name in _reached(producers[source], producers, barriers)}
    return reached & barriers


def _reached(start: onnx.NodeProto, producers: dict[str, onnx.NodeProto], barriers: set[str]) -> set[str]:
    """Names of all nodes from which ``start`` is computed, itself included, stopping at the barriers."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        node = waiting.pop()
        if node.name in found:
            continue
        found.add(node.name)
        if node.name not in barriers:
            waiting += [producers[name] for name in node.input if name in producers]
    return found


def _is_weighted(node: onnx.NodeProto, constants: set[str]) -> bool:
    if node.op_type not in WEIGHTED or node.input[1] not in constants or node.input[0] in constants:
        return False
    attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type == "Gemm":
        return attributes.get("alpha", 1.0) == 1.0 and attributes.get("beta", 1.0) == 1.0 and not attributes.get("transA", 0)
    return True
