"""The last question before signing, asked where the held-out records are: is the INT8 file as right as the float one? And beside
them: is it faster, and smaller? What is not is refused a signature.

Institutions run the very candidates on their own arithmetic and count; only masked sums reach the coordinator. A file
for devices that do not saturate is run node by node where this CPU would (``devices.saturates_here``), so that the gate
sees the device's arithmetic and not this one's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shared.compress import graph, runtime
from shared.compress.cost.times import Times, Timing
from shared.compress.devices import saturates_here
from shared.compress.manifest import CandidateResult, GateResult
from shared.errors import ArtifactError
from shared.heads import answers
from shared.task import Head

LEAST_AGREEMENT = 0.995
"""The share of held-out records on which a file should answer as the float student does."""
LARGE = 2**20
LEAST_SHRINKING = 3


class LossRefusal(ArtifactError):
    """Nothing may be signed, and it is what a file loses that stands in the way: one that lost less would have been signed."""


class LabelledRecords(Protocol):
    """Raw records and their labels, as ``shared.data.Records`` holds them."""

    @property
    def inputs(self) -> NDArray[Any]:
        """Raw records of the task."""
        ...

    @property
    def labels(self) -> NDArray[Any]:
        """int64 ``(n,)``."""
        ...


def gate_counts(
    float_onnx: bytes, candidates: Mapping[str, bytes], records: LabelledRecords, heads: Sequence[Head] = ()
) -> dict[str, NDArray[np.int64]]:
    """The counters of ``shared.work.GateWork`` over these records: pure sums, candidates in the mapping's order.

    With the task's ``heads`` each record is answered within the head of its label.

    The files come from the coordinator: raises :class:`ArtifactError` for one that is not ONNX or points at other files.
    """
    for content in (float_onnx, *candidates.values()):
        graph.parse(content)
    expected = _answers(float_onnx, records, heads)
    found = [_answers(content, records, heads, exact=saturates_here(name)) for name, content in candidates.items()]
    return {
        "gate_records": np.array([len(records.labels)], np.int64),
        "gate_float_right": np.array([(expected == records.labels).sum()], np.int64),
        "gate_right": np.array([(answer == records.labels).sum() for answer in found], np.int64),
        "gate_agree": np.array([(answer == expected).sum() for answer in found], np.int64),
    }


@dataclass(frozen=True)
class Cost:
    """What a file costs: its bytes, and its times on the device and on those that it stands for, None where nothing is known of them."""

    size: int
    times: Times | None = None


@dataclass(frozen=True)
class Allowed:
    """What a file may lose, at most ``max_drop`` of accuracy, and what it must not exceed: seconds and bytes, None for no budget."""

    max_drop: float
    seconds: float | None = None
    size: int | None = None


def choose(candidates: Mapping[str, Cost], sums: Mapping[str, NDArray[Any]], float_cost: Cost, allowed: Allowed) -> str:
    """The name of the file to sign. ``candidates`` best first, in the order of the counters.

    Only those that :func:`objection` has nothing against may win: the first that agrees with the float student on
    :data:`LEAST_AGREEMENT` of the records, else the one that agrees most. Raises :class:`ArtifactError` with the figures,
    :class:`LossRefusal` where losing less would have been enough.
    """
    records, float_right = int(sums["gate_records"][0]), int(sums["gate_float_right"][0])
    if records < 1:
        raise ArtifactError("the gate saw no held-out records; give the institutions some (split.test_fraction)")
    right, agree = [int(x) for x in sums["gate_right"]], [int(x) for x in sums["gate_agree"]]
    names = list(candidates)
    against = [
        objection(cost, (float_right - count) / records, float_cost, allowed)
        for cost, count in zip(candidates.values(), right, strict=True)
    ]
    left = [i for i, words in enumerate(against) if words is None]
    if not left:
        figures = "; ".join(
            f"{name}: accuracy {count / records:.4f}, {words}" for name, count, words in zip(names, right, against, strict=True)
        )
        refusal = LossRefusal if any(objection(cost, 0.0, float_cost, allowed) is None for cost in candidates.values()) else ArtifactError
        raise refusal(
            f"no INT8 file may be signed: accuracy {float_right / records:.4f} in float, on {records} held-out records, allowed loss "
            f"{allowed.max_drop}; {figures}; raise compression.max_drop, or choose another device or student"
        )
    faithful = [i for i in left if agree[i] >= LEAST_AGREEMENT * records]
    return names[faithful[0] if faithful else max(left, key=lambda i: (agree[i], -i))]


def objection(cost: Cost, drop: float, float_cost: Cost, allowed: Allowed) -> str | None:
    """Why a file must not be signed, in a few words: it loses too much, is slower or not smaller than the float one; None if nothing is.

    A float file of more than :data:`LARGE` bytes must become :data:`LEAST_SHRINKING` times smaller.
    """
    if drop > allowed.max_drop:
        return f"{drop:.4f} lost"
    slower = None if cost.times is None or float_cost.times is None else cost.times.slower(float_cost.times)
    if slower is not None:
        device, taken, in_float = slower
        return f"{taken * 1e3:.3f} ms where float takes {in_float * 1e3:.3f} ms{f' on {device}' if device else ''}"
    if cost.size * (LEAST_SHRINKING if float_cost.size > LARGE else 1) > float_cost.size:
        return f"{cost.size} bytes where float has {float_cost.size}"
    if allowed.seconds is not None and (cost.times is None or cost.times.most > allowed.seconds):
        return "a time that nobody knows" if cost.times is None else f"{cost.times.most * 1e3:.3f} of {allowed.seconds * 1e3:.3f} ms"
    return f"{cost.size} of {allowed.size} bytes" if allowed.size is not None and cost.size > allowed.size else None


def results(
    float_onnx: bytes,
    candidates: Mapping[str, bytes],
    sums: Mapping[str, NDArray[Any]],
    allowed: Allowed,
    timing: Timing | None = None,
    *,
    masked: bool = True,
) -> GateResult:
    """The gate's decision and figures as the manifest holds them; raises as :func:`choose` does.

    ``timing``: the cost models by which a file must be slower than ``float_onnx`` on no device; without them nobody knows.
    ``masked``: the sums came from institutions.
    """
    costs = {name: Cost(len(content), None if timing is None else timing(content)) for name, content in candidates.items()}
    whole = Cost(len(float_onnx), None if timing is None else timing(float_onnx))
    winner = choose(costs, sums, whole, allowed)
    entries = tuple(
        CandidateResult(
            name=name, right=int(sums["gate_right"][i]), agree=int(sums["gate_agree"][i]), size=cost.size, **_told(cost.times, whole.times)
        )
        for i, (name, cost) in enumerate(costs.items())
    )
    return GateResult(
        records=int(sums["gate_records"][0]),
        float_right=int(sums["gate_float_right"][0]),
        max_drop=allowed.max_drop,
        candidates=entries,
        winner=winner,
        masked=masked,
        float_size=whole.size,
        float_seconds=None if whole.times is None else whole.times.seconds,
    )


def _told(times: Times | None, whole: Times | None) -> dict[str, Any]:
    if times is None or whole is None:
        return {}
    return {"seconds": times.seconds, "ratios": times.ratios(whole)}


def _answers(content: bytes, records: LabelledRecords, heads: Sequence[Head], *, exact: bool = False) -> NDArray[np.int64]:
    if not len(records.inputs):
        return np.zeros(0, np.int64)
    return answers(runtime.logits(runtime.session(content, exact=exact), records.inputs), records.labels, heads)
