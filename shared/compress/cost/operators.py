"""Each executed operator as numbers: what kind it is, and how much it computes, reads and writes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import onnx

from shared.compress.cost import kinds
from shared.compress.cost.fused import Fused, Value

_MATRIX = 2


@dataclass(frozen=True)
class Operator:
    """One executed operator. ``rows`` and ``work`` as in :class:`shared.compress.devices.OperatorTable`.

    ``columns`` are the channels or columns that it makes, ``macs`` its multiply-accumulates (0 for light ones), ``reads``, ``writes`` and
    ``weights`` bytes: of activations in, of activations out, and of constants. ``channels`` are those that a dense convolution reads; not
    ``in_blocks`` is one whose kernel does not work on blocks of channels though the device has some that do.
    """

    node: str
    operator: str
    kind: str
    int8: bool
    rows: int
    work: int
    columns: int
    macs: int
    reads: int
    writes: int
    weights: int
    channels: int = 0
    in_blocks: bool = True


def operators(graph: Fused) -> tuple[Operator, ...]:
    """The executed operators, in the order of execution."""
    return tuple(operator(node, graph) for node in graph.nodes)


def operator(node: onnx.NodeProto, graph: Fused) -> Operator:
    """One node counted."""
    given = [graph.values[name] for name in node.input if name in graph.values]
    made = [graph.values[name] for name in node.output if name in graph.values]
    kind, rows, work, columns = _size(node, graph)
    return Operator(
        node=node.name or next(iter(node.output), ""),
        operator=node.op_type,
        kind=kind,
        int8=_in_int8(node, graph, kind),
        rows=max(1, rows),
        work=max(1, work),
        columns=columns,
        macs=rows * work if kind in kinds.DENSE else 0,
        reads=sum(value.bytes for value in given if not value.constant),
        writes=sum(value.bytes for value in made),
        weights=sum(value.bytes for value in given if value.constant),
        channels=graph.values[_second(node)].shape[1] if kind in ("spatial", "pointwise") else 0,
    )


def _in_int8(node: onnx.NodeProto, graph: Fused, kind: str) -> bool:
    if kind in kinds.CONVERSIONS or node.op_type == "Cast" or not node.input:
        return False
    deciding = _second(node) if kind in kinds.DENSE else node.input[0]
    # An image's own bytes are no result of arithmetic.
    return deciding != graph.input and deciding in graph.values and graph.values[deciding].int8


def _size(node: onnx.NodeProto, graph: Fused) -> tuple[str, int, int, int]:
    made = graph.values[node.output[0]]
    if node.op_type in kinds.CONVOLUTIONS:
        return _convolution(node, graph.values[_second(node)], made)
    if node.op_type in kinds.PRODUCTS:
        return _product(node, graph)
    kind = kinds.LIGHT.get(node.op_type, "elementwise")
    if kind in kinds.BY_ROW:
        length = made.shape[-1] if made.shape else 1
        return kind, made.size // max(length, 1), length, length
    if kind in kinds.BY_SPAN and (span := _span(node, graph, made)) < made.size:
        return ("broadcast" if kind == "elementwise" else kind), made.size // span, span, 0
    return kind, 1, _elements(node, graph, kind), 0


def _span(node: onnx.NodeProto, graph: Fused, made: Value) -> int:
    """Numbers of the output over which every smaller operand is read in one go, or is one number."""
    shapes = [graph.values[name].shape for name in node.input if name in graph.values and 1 < graph.values[name].size < made.size]
    return min((_run(shape, made.shape) for shape in shapes), default=made.size)


def _run(shape: tuple[int, ...], whole: tuple[int, ...]) -> int:
    padded = (1,) * (len(whole) - len(shape)) + shape
    length, repeats = 1, None
    for own, full in zip(reversed(padded), reversed(whole), strict=True):
        if full == 1:
            continue
        if repeats is None:
            repeats = own != full
        if repeats != (own != full):
            break
        length *= full
    return max(1, length)


def _elements(node: onnx.NodeProto, graph: Fused, kind: str) -> int:
    made = sum(graph.values[name].size for name in node.output if name in graph.values)
    if kind == "view":
        return 1
    if kind == "reduce":
        return graph.values[node.input[0]].size
    if kind == "pool":
        return made * int(math.prod(_attributes(node).get("kernel_shape", (1,))))
    return made


def _convolution(node: onnx.NodeProto, weights: Value, made: Value) -> tuple[str, int, int, int]:
    outputs, inputs, *kernel = weights.shape
    pixels, area = made.size // max(outputs, 1), math.prod(kernel)
    if is_depthwise(node, weights):
        return "depthwise", pixels, area * outputs, outputs
    return ("pointwise" if area == 1 else "spatial"), pixels, inputs * area * outputs, outputs


def is_depthwise(node: onnx.NodeProto, weights: Value) -> bool:
    """Whether a convolution reads one channel for each that it makes; one over a grey image does not count."""
    return weights.shape[1] == 1 and int(_attributes(node).get("group", 1)) > 1


def _product(node: onnx.NodeProto, graph: Fused) -> tuple[str, int, int, int]:
    first, second, made = graph.values[node.input[0]], graph.values[_second(node)], graph.values[node.output[0]]
    columns = made.shape[-1] if made.shape else 1
    rows = made.size // max(columns, 1)
    inner = first.size // max(rows, 1)
    # Weights that are dequantised in every run are no constant to the runtime, but still one matrix for all rows.
    return ("gemm" if len(second.shape) == _MATRIX else "product"), rows, inner * columns, columns


def _second(node: onnx.NodeProto) -> str:
    return str(node.input[kinds.SECOND_OPERAND.get(node.op_type, 1)])


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
