"""Conversions of memory layout that onnxruntime adds around convolutions when it loads a graph.

INT8 convolutions read and write maps with the channels last; float ones keep them in blocks of channels where the device's kernels do.
What works on each number by itself takes maps as they come, all else wants them plain. A conversion copies the map once.
The runtime's optimiser adds these nodes for the machine it runs on; here they are counted for the device.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import onnx

from shared.compress.cost import kinds
from shared.compress.cost.fused import Fused, Value
from shared.compress.cost.operators import Operator, operator

Layout = Literal["plain", "last", "blocked"]
_AS_THEY_COME = frozenset({"elementwise", "activation", "quantise", "dequantise", "pool"})
_TO_CHANNELS_FIRST = (0, 3, 1, 2)


def with_conversions(graph: Fused, *, block: int, blocked_floats: bool) -> tuple[Operator, ...]:
    """The executed operators with the copies between layouts, which have the name of the node that needs them."""
    return tuple(_Layouts(graph, block if blocked_floats else 0).run())


class _Layouts:
    def __init__(self, graph: Fused, block: int) -> None:
        self.graph, self.block = graph, block
        self.layouts: dict[str, Layout] = {}

    def run(self) -> Iterator[Operator]:
        for node in self.graph.nodes:
            counted = operator(node, self.graph)
            if _is_view_of_layout(node):
                # Images come with the channels last: their convolutions take them so, and only others pay for the copy.
                self.layouts[node.output[0]] = "last"
                continue
            wanted = self._wanted(node, counted)
            yield from self._copies(node, wanted, counted.node)
            yield counted
            for name in node.output:
                if self._is_map(name):
                    self.layouts[name] = self._given(node, counted, wanted)

    def _wanted(self, node: onnx.NodeProto, counted: Operator) -> Layout:
        if node.op_type in kinds.CONVOLUTIONS:
            return "last" if counted.int8 else "blocked" if self._blocks(node) else "plain"
        if counted.kind in _AS_THEY_COME:
            found = [self.layouts.get(name, "plain") for name in node.input if self._is_map(name)]
            return next((layout for layout in found if layout != "plain"), "plain")
        return "plain"

    def _given(self, node: onnx.NodeProto, counted: Operator, wanted: Layout) -> Layout:
        return wanted if node.op_type in kinds.CONVOLUTIONS or counted.kind in _AS_THEY_COME else "plain"

    def _copies(self, node: onnx.NodeProto, wanted: Layout, reader: str) -> Iterator[Operator]:
        for name in dict.fromkeys(node.input):
            if self._is_map(name) and self.layouts.get(name, "plain") != wanted and not self._first_of_image(name, node, wanted):
                # Kept for later readers, as the runtime keeps it.
                self.layouts[name] = wanted
                yield _copy(reader, self.graph.values[name])

    def _first_of_image(self, name: str, node: onnx.NodeProto, wanted: Layout) -> bool:
        # A blocked convolution reads the few channels of an image as they are.
        return wanted == "blocked" and self.graph.values[name].shape[1] < self.block and self.layouts.get(name, "plain") == "plain"

    def _blocks(self, node: onnx.NodeProto) -> bool:
        if not self.block:
            return False
        weights = self.graph.values[node.input[1]]
        outputs, inputs = weights.shape[0], weights.shape[1]
        depthwise = inputs == 1 and outputs > 1
        return outputs % self.block == 0 and (depthwise or inputs % self.block == 0 or inputs < self.block)

    def _is_map(self, name: str) -> bool:
        value = self.graph.values.get(name)
        return (
            value is not None
            and not value.constant
            and len(value.shape) == 4
            and value.shape[1] > 1
            and value.shape[2] * value.shape[3] > 1
        )


def _is_view_of_layout(node: onnx.NodeProto) -> bool:
    if node.op_type != "Transpose":
        return False
    return any(tuple(attribute.ints) == _TO_CHANNELS_FIRST for attribute in node.attribute if attribute.name == "perm")


def _copy(reader: str, value: Value) -> Operator:
    return Operator(
        node=reader,
        operator="Transpose",
        kind="move",
        int8=value.int8,
        rows=1,
        work=max(1, value.size),
        columns=0,
        macs=0,
        reads=value.bytes,
        writes=value.bytes,
        weights=0,
    )
