"""Seconds and bytes of one record on a device: the sum over the executed operators, one after the other, as one thread runs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from shared.compress.cost import roofline, tables
from shared.compress.cost.fused import Fused, fused
from shared.compress.cost.kinds import CONVERSIONS, CONVOLUTIONAL, DENSE
from shared.compress.cost.layout import with_conversions
from shared.compress.cost.operators import Operator
from shared.compress.devices.schema import DeviceProfile, OperatorTable

Origin = Literal["measured", "estimated"]


@dataclass(frozen=True)
class OperatorCost:
    """One executed operator and what it takes. ``node``: its name in the graph as the runtime has fused it, else its output's.

    ``source``: from a measured table, or from the roofline model.
    """

    node: str
    operator: str
    kind: str
    int8: bool
    macs: int
    seconds: float
    source: Origin


@dataclass(frozen=True)
class Prediction:
    """``seconds`` of one record, batch 1, one thread; ``peak_bytes``: all constants, and the most that activations take at once.

    The runtime's own code, about 50 MB, is not in ``peak_bytes``, nor are its copies of weights in the order of its kernels.
    """

    seconds: float
    operators: tuple[OperatorCost, ...]
    peak_bytes: int

    @property
    def measured_share(self) -> float:
        """The part of the operators' seconds that comes from measured tables."""
        whole = sum(entry.seconds for entry in self.operators)
        return sum(entry.seconds for entry in self.operators if entry.source == "measured") / whole if whole else 0.0


def predict(content: bytes, profile: DeviceProfile, *, tokens: int | None = None) -> Prediction:
    """What one record takes on the device. ``content``: a float or a QDQ INT8 file; ``tokens``: of a text, else the most it may have.

    Equal arguments give equal results with one version of onnxruntime. Raises :class:`ArtifactError` for a file that it cannot run.
    """
    return predicted(fused(content, tokens), profile)


def predicted(graph: Fused, profile: DeviceProfile) -> Prediction:
    """The same of a file that the runtime has been asked about already: it answers slowly, and the same for every device."""
    block = int(profile.channel_block.value)
    found = with_conversions(graph, block=block, blocked_floats=profile.blocked_floats)
    costs = tuple(_cost(operator, profile) for operator in found)
    return Prediction(profile.call.value + sum(cost.seconds for cost in costs), costs, peak_bytes(graph))


def share_of_time(content: bytes, profile: DeviceProfile, *, tokens: int | None = None) -> dict[str, float]:
    """Shares, which add up to 1, of the operators' time: in ``int8``, in ``float``, and in ``conversions`` between the two."""
    costs = predict(content, profile, tokens=tokens).operators
    whole = sum(cost.seconds for cost in costs) or 1.0
    seconds = {"int8": 0.0, "float": 0.0, "conversions": 0.0}
    for cost in costs:
        seconds["conversions" if cost.kind in CONVERSIONS else "int8" if cost.int8 else "float"] += cost.seconds
    return {name: value / whole for name, value in seconds.items()}


def peak_bytes(graph: Fused) -> int:
    """All constants, and the most bytes of activations that are alive while one operator runs."""
    last = {name: place for place, node in enumerate(graph.nodes) for name in node.input}
    sizes = {name: value.bytes for name, value in graph.values.items() if not value.constant}
    made = {name for node in graph.nodes for name in node.output}
    alive = {name for name in sizes if name not in made}
    most = 0
    for place, node in enumerate(graph.nodes):
        alive |= {name for name in node.output if name in sizes}
        most = max(most, sum(sizes[name] for name in alive))
        alive -= {name for name in alive if last.get(name, place) <= place and name not in graph.outputs}
    return most + sum(value.bytes for value in graph.values.values() if value.constant)


def _cost(operator: Operator, profile: DeviceProfile) -> OperatorCost:
    table = _table(operator, _tables(profile), int(profile.channel_block.value), profile.blocked_floats)
    if table is None:
        return _costs(operator, roofline.seconds(operator, profile), "estimated")
    work = roofline.padded_work(operator, profile) if operator.kind in DENSE and not table.ragged else float(operator.work)
    return _costs(operator, tables.seconds(table, operator.rows, work), profile.sources[table.source].kind)


def _costs(operator: Operator, seconds: float, source: Origin) -> OperatorCost:
    return OperatorCost(operator.node, operator.operator, operator.kind, operator.int8, operator.macs, seconds, source)


def _tables(profile: DeviceProfile) -> Mapping[tuple[str, bool, bool], OperatorTable]:
    return {(table.kind, table.int8, table.ragged): table for table in profile.operators}


def _table(
    operator: Operator, known: Mapping[tuple[str, bool, bool], OperatorTable], block: int, blocked_floats: bool
) -> OperatorTable | None:
    blocked_maps = not operator.int8 and blocked_floats and operator.kind in CONVOLUTIONAL
    ragged = operator.kind in DENSE and (not operator.in_blocks if blocked_maps else operator.columns % block != 0)
    exact = known.get((operator.kind, operator.int8, ragged)) or known.get((operator.kind, operator.int8, False))
    # What multiplies no matrices takes about as long in either type; what does, does not.
    return exact if exact is not None or operator.kind in DENSE else known.get((operator.kind, not operator.int8, False))
