"""Which call of torch is which node of the exported float graph: found by values, not by names.

The graph and the student look at the same records; a node with weights is the call that read the same activation and the
same weights, a tensor that is written in INT8 is the result of the first call that gave its values. What is not found
is refused: a student must not be trained for another arithmetic than its file has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import Tensor

from shared.compress import graph, runtime
from shared.compress.qat.calls import LOOK_UPS, PRODUCTS, Call, Recorder, Seen
from shared.compress.quantise import channel_axis, keeps_weights, looks_up
from shared.compress.scope import Scope, absorbed_relu, scope
from shared.errors import ArtifactError

TOLERANCE = 1e-4
"""Largest difference at which two tensors are the same, relative to the largest value where that exceeds 1."""


@dataclass(frozen=True)
class Product:
    """A product that runs in INT8: the tensor that it reads, whether that comes ``ready`` on its grid, whether its bias is in INT32."""

    activation: str
    ready: bool
    biased: bool


@dataclass(frozen=True)
class CallPlan:
    """What happens at which call: ``products`` by call, the tensor that a call's result is ``written`` as, ``tables`` looked up, and
    products in float whose weights are ``stored`` in 8 bits.

    ``absorbed`` are the written calls, rectifiers, that the grid does the work of: what goes into them is what lies on it.
    """

    products: Mapping[Call, Product]
    written: Mapping[Call, str]
    absorbed: frozenset[Call]
    tables: frozenset[Call]
    stored: frozenset[Call] = frozenset()

    @cached_property
    def calls(self) -> frozenset[Call]:
        """Every call that is changed."""
        return frozenset((*self.products, *self.written, *self.tables, *self.stored))

    @cached_property
    def kinds(self) -> frozenset[str]:
        """Their kinds."""
        return frozenset(call.kind for call in self.calls)


def call_plan(content: bytes, forward: Callable[[Tensor], object], inputs: NDArray[Any], *, attention: bool = True) -> CallPlan:
    """The calls of ``forward`` that the graph ``content`` computes in INT8, with or without those around ``attention``.

    ``inputs`` are a few raw records. Raises :class:`ArtifactError` where a node is no call that is known.
    """
    model = graph.parse(content)
    chosen, constants = scope(model, attention=attention), graph.initialisers(model)
    seen = _recorded(forward, inputs)
    nodes = [node for node in model.graph.node if node.name in chosen.weighted]
    gathers = [node for node in model.graph.node if looks_up(node, constants)]
    kept = [node for node in model.graph.node if node.name not in chosen.weighted and keeps_weights(node, constants)]
    wanted = [*chosen.tensors, *(node.output[0] for node in gathers), *(node.input[0] for node in kept)]
    values = _inner_values(content, wanted, inputs)
    products = {
        call: Product(node.input[0], node.input[0] in chosen.outputs, len(node.input) == 3 and node.input[2] in constants)
        for node in nodes
        for call in _products_of(node, constants[node.input[1]], values[node.input[0]], seen)
    }
    written = {_result_with(values[name], seen, name): name for name in chosen.outputs}
    tables = frozenset(_look_up_of(node, constants[node.input[0]], values[node.output[0]], seen) for node in gathers)
    _complain_of_twins(chosen, written)
    rectified = {relu.output[0] for node in model.graph.node if (relu := absorbed_relu(model, node)) is not None}
    absorbed = frozenset(call for call, name in written.items() if name in rectified)
    stored = [call for node in kept for call in _products_of(node, constants[node.input[1]], values[node.input[0]], seen)]
    return CallPlan(products, written, absorbed, tables, frozenset(stored) - frozenset(products))


def _recorded(forward: Callable[[Tensor], object], inputs: NDArray[Any]) -> Sequence[Seen]:
    recorder = Recorder()
    with torch.no_grad(), recorder:
        forward(torch.from_numpy(inputs))
    return recorder.seen


def _inner_values(content: bytes, names: Sequence[str], inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
    model = graph.parse(content)
    given = model.graph.input[0].name
    inner = [name for name in dict.fromkeys(names) if name != given]
    ends = {value.name for value in model.graph.output}
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inner if name not in ends)
    loaded = runtime.session(model.SerializeToString(), exact=True)
    return {given: inputs, **dict(zip(inner, loaded.run(inner, {given: inputs}) if inner else [], strict=True))}


def _products_of(node: onnx.NodeProto, weights: NDArray[Any], read: NDArray[Any], seen: Sequence[Seen]) -> list[Call]:
    wanted = _channels(weights, channel_axis(node, weights.ndim))
    found = [one.call for one in seen if _reads(one, read) and _has_weights(one, wanted)]
    if not found:
        raise ArtifactError(
            f"the graph's {node.op_type} with weights of shape {weights.shape} is no call of the student's that can be watched "
            f"({', '.join(PRODUCTS)}); compress this student without quantisation-aware training"
        )
    return found


def _reads(one: Seen, read: NDArray[Any]) -> bool:
    places = PRODUCTS.get(one.call.kind)
    return places is not None and len(one.arguments) > places.weights and _distance(one.arguments[places.values], read) <= TOLERANCE


def _has_weights(one: Seen, wanted: NDArray[np.float64]) -> bool:
    # The exporter may have folded a gain into the graph's weights: a factor a channel changes no step of the grid.
    places = PRODUCTS[one.call.kind]
    given = one.arguments[places.weights]
    if not isinstance(given, Tensor) or given.dim() < 2:
        return False
    own = _channels(given.detach().cpu().numpy(), places.axis)
    if own.shape != wanted.shape:
        return False
    squares = (own**2).sum(axis=1)
    factors = (own * wanted).sum(axis=1) / np.where(squares == 0, 1.0, squares)
    return bool(np.abs(own * factors[:, None] - wanted).max() <= TOLERANCE * max(1e-3, float(np.abs(wanted).max())))


def _result_with(values: NDArray[Any], seen: Sequence[Seen], name: str) -> Call:
    distances = [_distance(one.result, values) for one in seen]
    best = int(np.argmin(distances)) if distances else 0
    if not distances or distances[best] > TOLERANCE:
        raise ArtifactError(
            f"the graph's tensor '{name}' is no result of any call of the student's; compress it without quantisation-aware training"
        )
    return seen[best].call


def _look_up_of(node: onnx.NodeProto, table: NDArray[Any], rows: NDArray[Any], seen: Sequence[Seen]) -> Call:
    for one in seen:
        place = LOOK_UPS.get(one.call.kind)
        if place is None or len(one.arguments) <= place or _distance(one.result, rows) > TOLERANCE:
            continue
        if _distance(one.arguments[place], table) <= TOLERANCE:
            return one.call
    raise ArtifactError(
        f"the look-up in a table of {len(table)} rows is none of {', '.join(LOOK_UPS)} in the student; "
        "compress this student without quantisation-aware training"
    )


def _complain_of_twins(chosen: Scope, written: Mapping[Call, str]) -> None:
    if len(written) < len(chosen.outputs):
        raise ArtifactError(
            "two tensors of the graph have the same values on the example records, so that nobody can tell the calls apart; "
            "a student that has learnt something has none"
        )


def _channels(weights: NDArray[Any], axis: int) -> NDArray[np.float64]:
    return np.moveaxis(np.asarray(weights, np.float64), axis, 0).reshape(weights.shape[axis], -1)


def _distance(given: object, values: NDArray[Any]) -> float:
    """The largest difference between two tensors as flat vectors, relative to the largest value; infinite for another size."""
    if not isinstance(given, Tensor) or given.numel() != values.size or not given.is_floating_point():
        return float("inf")
    flat = given.detach().cpu().to(torch.float32).numpy().reshape(-1)
    difference = float(np.abs(flat - values.reshape(-1)).max()) if values.size else 0.0
    return difference / max(1.0, float(np.abs(values).max(initial=0.0)))
