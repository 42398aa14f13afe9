"""A float graph and federated ranges become a QDQ INT8 graph, with no data at hand.

Activations are unsigned 8 bits with one scale a tensor; weights have one scale a channel, chosen for the smallest
mean-square error; biases are 32 bits. Each INT8 operator stands between DequantizeLinear and QuantizeLinear nodes,
which onnxruntime fuses into its integer kernels. A large table of embeddings, most of a small text model, is kept in 8 bits with
one scale a row, and only the rows that are looked up become float. The weights of operators that stay in float are kept in 8 bits
too: a cast and a product, which the runtime does once when it loads the file, so that they cost no time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from shared.compress import graph
from shared.compress.devices import WeightGrid, recipe
from shared.compress.scope import WEIGHTED, Scope, absorbed_relu, scope
from shared.compress.weights import channel_scales
from shared.errors import ArtifactError

Ranges = Mapping[str, tuple[float, float]]
LARGE_TABLE = 1024
"""Rows from which on a table of embeddings is kept in 8 bits; a smaller one would save less than its nodes cost."""
SMALL_WEIGHTS = 128
"""Weights from which on those of a float operator are kept in 8 bits; fewer would save less than their nodes cost."""
MOST_BIAS_STEPS = 2**30
"""Steps of a bias to either side of zero: half of what 32 bits hold, the rest is left to the sum of products."""
ROW_LIMIT = STORED_LIMIT = 127
"""Steps to either side of zero of a table's rows, and of the weights of float operators."""


def quantise(content: bytes, ranges: Ranges, grid: str, *, in_float: Collection[str] = ()) -> bytes:
    """The INT8 file of a float file. ``ranges``: (low, high) of each of ``calibrated_tensors``; ``grid``: a name of
    ``devices.RECIPES``; ``in_float``: names of nodes that are left in float besides those that the recipe leaves. Equal arguments
    give equal bytes. Raises :class:`ArtifactError` for a missing range.
    """
    model = graph.parse(content)
    how = recipe(grid)
    left = [node.name for node in model.graph.node] if how.weights_only else in_float
    chosen = scope(model, attention=not how.attention_in_float, in_float=left)
    missing = [name for name in chosen.tensors if name not in ranges]
    if missing:
        raise ArtifactError(f"no range for the tensor '{missing[0]}' of the student; calibrate all of its tensors")
    _Quantiser(model, chosen, ranges, how.grid).run()
    graph.rename_shortly(model)
    return graph.serialise(model)


class _Quantiser:
    """The rewriting of one graph; the nodes are rebuilt in order, so that the graph stays sorted."""

    def __init__(self, model: onnx.ModelProto, chosen: Scope, ranges: Ranges, grid: WeightGrid) -> None:
        self.model, self.scope, self.ranges, self.grid = model, chosen, ranges, grid
        self.constants = graph.initialisers(model)
        self.nodes: list[onnx.NodeProto] = []
        self.scales: dict[str, float] = {}
        self.weight_scales: dict[str, NDArray[np.float32]] = {}
        self.restored: set[str] = set()

    def run(self) -> None:
        """Rewrites the model in place."""
        absorbed = self._absorbed()
        dropped = {relu.name for relu in absorbed.values()}
        for value in self.model.graph.input:
            self._pair(value.name)
        for node in self.model.graph.node:
            if node.name in dropped:
                continue
            if node.name in absorbed:
                node.output[0] = absorbed[node.name].output[0]
            self._visit(node)
        del self.model.graph.node[:]
        self.model.graph.node.extend(self.nodes)
        graph.drop_unused(self.model)

    def _visit(self, node: onnx.NodeProto) -> None:
        if looks_up(node, self.constants):
            self._table(node)
            return
        integer = node.name in self.scope.weighted or node.name in self.scope.sums
        for index, name in enumerate(node.input):
            if name in self.scope.outputs or (integer and name in self.scope.inputs and name in self.scales):
                node.input[index] = f"{name}.dequantised"
        if node.name in self.scope.weighted:
            self._weights(node)
        elif keeps_weights(node, self.constants):
            self._stored(node)
        self.nodes.append(node)
        for name in node.output:
            self._pair(name)

    def _table(self, node: onnx.NodeProto) -> None:
        (name, rows), found = node.input, node.output[0]
        values = self.constants[name].astype(np.float64)
        scales = np.maximum(np.abs(values).max(axis=1, keepdims=True) / ROW_LIMIT, 1e-30)
        self._constant(f"{name}.rows", np.rint(values / scales).astype(np.int8))
        self._constant(f"{name}.steps", scales.astype(np.float32))
        self.nodes += [
            helper.make_node("Gather", [f"{name}.rows", rows], [f"{found}.row"], f"{node.name}.Row", axis=0),
            helper.make_node("Cast", [f"{found}.row"], [f"{found}.row.float"], f"{node.name}.Cast", to=onnx.TensorProto.FLOAT),
            helper.make_node("Gather", [f"{name}.steps", rows], [f"{found}.step"], f"{node.name}.Step", axis=0),
            helper.make_node("Mul", [f"{found}.row.float", f"{found}.step"], [found], f"{node.name}.Scale"),
        ]
        self._pair(found)

    def _stored(self, node: onnx.NodeProto) -> None:
        name, axis = node.input[1], channel_axis(node, self.constants[node.input[1]].ndim)
        found = f"{name}.restored.{axis}"
        if found not in self.restored:
            steps, scales = _on_grid(self.constants[name], axis, STORED_LIMIT)
            self._constant(f"{found}.stored", steps.astype(np.int8))
            self._constant(f"{found}.scale", scales)
            cast = helper.make_node("Cast", [f"{found}.stored"], [f"{found}.float"], f"{found}.Cast", to=onnx.TensorProto.FLOAT)
            self.nodes += [cast, helper.make_node("Mul", [f"{found}.float", f"{found}.scale"], [found], f"{found}.Scale")]
            self.restored.add(found)
        node.input[1] = found

    def _absorbed(self) -> dict[str, onnx.NodeProto]:
        owners = [node for node in self.model.graph.node if node.name in (*self.scope.sums, *self.scope.weighted)]
        relus = {node.name: absorbed_relu(self.model, node) for node in owners}
        return {name: relu for name, relu in relus.items() if relu is not None and relu.output[0] in self.scope.outputs}

    def _pair(self, name: str) -> None:
        if name not in self.scope.tensors:
            return
        scale, zero = activation_grid(*self.ranges[name])
        self.scales[name] = scale
        self._constant(f"{name}.scale", np.float32(scale))
        self._constant(f"{name}.zero", np.uint8(zero))
        parameters = [f"{name}.scale", f"{name}.zero"]
        self.nodes.append(helper.make_node("QuantizeLinear", [name, *parameters], [f"{name}.quantised"], f"{name}.Quantize"))
        self.nodes.append(
            helper.make_node("DequantizeLinear", [f"{name}.quantised", *parameters], [f"{name}.dequantised"], f"{name}.Dequantize")
        )

    def _weights(self, node: onnx.NodeProto) -> None:
        name, axis = node.input[1], channel_axis(node, self.constants[node.input[1]].ndim)
        dequantised = f"{name}.dequantised.{axis}"
        if name not in self.weight_scales:
            steps, shaped = _on_grid(self.constants[name], axis, self.grid.limit, self._least(node))
            scales, kind = shaped.ravel(), np.uint8 if self.grid.zero else np.int8
            self._constant(f"{name}.quantised", (steps + self.grid.zero).astype(kind))
            self._constant(f"{name}.scale", scales)
            self._constant(f"{name}.zero", np.full(len(scales), self.grid.zero, kind))
            inputs = [f"{name}.quantised", f"{name}.scale", f"{name}.zero"]
            self.nodes.append(helper.make_node("DequantizeLinear", inputs, [dequantised], f"{dequantised}.Dequantize", axis=axis))
            self.weight_scales[name] = scales
        activation = node.input[0].removesuffix(".dequantised")
        node.input[1] = dequantised
        if len(node.input) == 3 and node.input[2] in self.constants:
            node.input[2] = self._bias(node, self.scales[activation] * self.weight_scales[name].astype(np.float64))

    def _least(self, node: onnx.NodeProto) -> NDArray[np.float64]:
        # A channel of next to no weights would have steps so small that its bias is beyond 32 bits of them.
        bias = self.constants.get(node.input[2]) if len(node.input) == 3 else None
        activation = self.scales[node.input[0].removesuffix(".dequantised")]
        return np.zeros(1) if bias is None else np.abs(bias.astype(np.float64)).ravel() / (activation * MOST_BIAS_STEPS)

    def _bias(self, node: onnx.NodeProto, scales: NDArray[np.float64]) -> str:
        name = f"{node.name}.bias"
        values = np.broadcast_to(self.constants[node.input[2]].astype(np.float64), scales.shape)
        exact = scales.astype(np.float32)
        steps = np.clip(np.rint(values / exact), -(2**31), 2**31 - 1)
        self._constant(f"{name}.quantised", steps.astype(np.int32))
        self._constant(f"{name}.scale", exact)
        self._constant(f"{name}.zero", np.zeros(len(exact), np.int32))
        inputs = [f"{name}.quantised", f"{name}.scale", f"{name}.zero"]
        self.nodes.append(helper.make_node("DequantizeLinear", inputs, [name], f"{name}.Dequantize", axis=0))
        return name

    def _constant(self, name: str, value: Any) -> None:
        self.model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name))


def keeps_weights(node: onnx.NodeProto, constants: Mapping[str, NDArray[Any]]) -> bool:
    """Whether a node that computes in float has weights that are worth keeping in 8 bits."""
    weights = constants.get(node.input[1]) if node.op_type in WEIGHTED else None
    return weights is not None and weights.dtype == np.float32 and weights.size >= SMALL_WEIGHTS


def looks_up(node: onnx.NodeProto, constants: Mapping[str, NDArray[Any]]) -> bool:
    """Whether a node looks up rows of a table that is large enough to be kept in 8 bits."""
    table = constants.get(node.input[0]) if node.op_type == "Gather" else None
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
    return table is not None and axis == 0 and table.dtype == np.float32 and table.ndim == 2 and len(table) >= LARGE_TABLE


def activation_grid(low: float, high: float) -> tuple[float, int]:
    """Scale and zero point of the unsigned 8-bit grid that covers ``low <= 0 <= high``."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32(max((high - low) / 255, 1e-30)))
    return scale, int(np.clip(np.rint(-low / scale), 0, 255))


def _on_grid(
    values: NDArray[Any], axis: int, limit: int, least: NDArray[np.float64] | float = 0.0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Whole steps in ``-limit .. limit``, and their scales, at least ``least``, in a shape that multiplies them channel by channel."""
    shape = [1] * values.ndim
    shape[axis] = -1
    scales = np.maximum(channel_scales(values, axis, limit), np.asarray(least, np.float32)).reshape(shape)
    steps: NDArray[np.float32] = np.clip(np.rint(values / scales), -limit, limit)
    return steps, scales


def channel_axis(node: onnx.NodeProto, rank: int) -> int:
    """The axis of a weighted node's weights that holds its outputs, one scale each."""
    if node.op_type == "Conv":
        return 0
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 0 if transposed else rank - 1
