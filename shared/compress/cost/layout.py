"""Conversions of memory layout that onnxruntime adds around convolutions when it loads a graph.

INT8 convolutions read and write maps with the channels last; float ones keep them in blocks of channels where the device's kernels do.
What works on each number by itself takes maps as they come, all else wants them plain. A conversion copies the map once.
The runtime's optimiser adds these nodes for the machine it runs on; here they are counted for the device.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import onnx

from shared.compress.cost import kinds
from shared.compress.cost.fused import Fused, Value
from shared.compress.cost.operators import Operator, is_depthwise, operator

Layout = Literal["plain", "last", "blocked"]
_AS_THEY_COME = frozenset({"elementwise", "broadcast", "select", "activation", "quantise", "pool"})
"""The runtime turns maps while they are of 8 bits: before they are dequantised, not after."""
_IN_PASSING = frozenset({"Add", "Relu", "Clip"})
_ALIGNED = 4
"""Channels of which a convolution must read a multiple for onnxruntime to fill its blocks up."""
_TO_CHANNELS_FIRST = (0, 3, 1, 2)


def with_conversions(graph: Fused, *, block: int, blocked_floats: bool) -> tuple[Operator, ...]:
    """The executed operators with the copies between layouts, which have the name of the node that needs them."""
    return tuple(_Layouts(graph, block if blocked_floats else 0).run())


class _Layouts:
    def __init__(self, graph: Fused, block: int) -> None:
        self.graph, self.block = graph, block
        self.layouts: dict[str, Layout] = {}
        self.channels_last = any(node.op_type in kinds.CONVOLUTIONS and operator(node, graph).int8 for node in graph.nodes)

    def run(self) -> Iterator[Operator]:
        for node in self.graph.nodes:
            counted = operator(node, self.graph)
            if self.channels_last and _to_channels_first(node):
                # Images come with the channels last, as INT8 convolutions take them; the runtime leaves the copy out.
                self.layouts[node.output[0]] = "last"
                continue
            wanted = self._wanted(node, counted)
            yield from self._copies(node, wanted, counted.node)
            # A blocked convolution adds the way around it, and cuts off at zero, as it writes.
            if not (wanted == "blocked" and node.op_type in _IN_PASSING):
                yield self._as_run(counted, node, wanted)
            for name in node.output:
                if self._is_map(name):
                    self.layouts[name] = self._given(node, counted, wanted)

    def _wanted(self, node: onnx.NodeProto, counted: Operator) -> Layout:
        if node.op_type in kinds.CONVOLUTIONS:
            return "last" if counted.int8 else "blocked" if self._blocks(node) and not self._reads_plain(node) else "plain"
        if counted.kind in _AS_THEY_COME:
            found = [self.layouts.get(name, "plain") for name in node.input if self._is_map(name)]
            return next((layout for layout in found if layout != "plain"), "plain")
        return "plain"

    def _given(self, node: onnx.NodeProto, counted: Operator, wanted: Layout) -> Layout:
        if node.op_type in kinds.CONVOLUTIONS:
            return "last" if counted.int8 else "blocked" if self._blocks(node) else "plain"
        return wanted if counted.kind in _AS_THEY_COME else "plain"

    def _as_run(self, counted: Operator, node: onnx.NodeProto, wanted: Layout) -> Operator:
        if node.op_type in kinds.CONVOLUTIONS:
            return replace(counted, in_blocks=counted.int8 or not self.block or self._blocks(node))
        if counted.kind != "broadcast" or wanted != "last":
            return counted
        # One number a channel is repeated at every pixel where the channels come last.
        made = self.graph.values[node.output[0]]
        return replace(counted, rows=made.size // made.shape[1], work=made.shape[1])

    def _copies(self, node: onnx.NodeProto, wanted: Layout, reader: str) -> Iterator[Operator]:
        for name in dict.fromkeys(node.input):
            if self._is_map(name) and self.layouts.get(name, "plain") != wanted:
                # Kept for later readers, as the runtime keeps it.
                self.layouts[name] = wanted
                yield _copy(reader, self.graph.values[name])

    def _blocks(self, node: onnx.NodeProto) -> bool:
        weights = self.graph.values[node.input[1]]
        if not self.block or not weights.constant:
            return False
        if is_depthwise(node, weights):
            return weights.shape[0] % _ALIGNED == 0
        return weights.shape[1] < self.block or weights.shape[1] % _ALIGNED == 0

    def _reads_plain(self, node: onnx.NodeProto) -> bool:
        # The few channels of an image are read as they are, and written in blocks.
        weights = self.graph.values[node.input[1]]
        return not is_depthwise(node, weights) and weights.shape[1] < self.block

    def _is_map(self, name: str) -> bool:
        value = self.graph.values.get(name)
        return (
            value is not None
            and not value.constant
            and len(value.shape) == 4
            and value.shape[1] > 1
            and value.shape[2] * value.shape[3] > 1
        )


def _to_channels_first(node: onnx.NodeProto) -> bool:
    if node.op_type != "Transpose":
        return False
    return any(tuple(attribute.ints) == _TO_CHANNELS_FIRST for attribute in node.attribute if attribute.name == "perm")


def _copy(reader: str, value: Value) -> Operator:
    return Operator(
        node=reader,
        operator="Transpose",
        kind="relayout",
        int8=value.int8,
        rows=1,
        work=max(1, value.size),
        columns=0,
        macs=0,
        reads=value.bytes,
        writes=value.bytes,
        weights=0,
    )
