"""The last question before signing, asked where the held-out records are: is the INT8 file as right as the float one?

Institutions run the very candidates on their own arithmetic and count; only masked sums reach the coordinator. A file
for devices that do not saturate is run node by node where this CPU would (``devices.saturates_here``), so that the gate
sees the device's arithmetic and not this one's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shared.compress import graph, runtime
from shared.compress.devices import saturates_here
from shared.compress.manifest import CandidateResult, GateResult
from shared.errors import ArtifactError
from shared.heads import answers
from shared.task import Head

LEAST_AGREEMENT = 0.995
"""The share of held-out records on which a file should answer as the float student does."""


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


def choose(candidates: Sequence[str], sums: Mapping[str, NDArray[Any]], max_drop: float) -> str:
    """The name of the file to sign. ``candidates`` best first, in the order of the counters.

    Only those that lose at most ``max_drop`` of accuracy may win: the first that agrees with the float student on
    :data:`LEAST_AGREEMENT` of the records, else the one that agrees most. Raises :class:`ArtifactError` with the figures.
    """
    records, float_right = int(sums["gate_records"][0]), int(sums["gate_float_right"][0])
    if records < 1:
        raise ArtifactError("the gate saw no held-out records; give the institutions some (split.test_fraction)")
    right, agree = [int(x) for x in sums["gate_right"]], [int(x) for x in sums["gate_agree"]]
    allowed = [i for i in range(len(candidates)) if float_right - right[i] <= max_drop * records]
    if not allowed:
        figures = ", ".join(f"{name} {count / records:.4f}" for name, count in zip(candidates, right, strict=True))
        raise ArtifactError(
            f"no INT8 file may be signed: accuracy {float_right / records:.4f} in float, {figures}, "
            f"on {records} held-out records, allowed loss {max_drop}; raise compression.max_drop or choose another device"
        )
    faithful = [i for i in allowed if agree[i] >= LEAST_AGREEMENT * records]
    return candidates[faithful[0] if faithful else max(allowed, key=lambda i: (agree[i], -i))]


def results(candidates: Mapping[str, bytes], sums: Mapping[str, NDArray[Any]], max_drop: float) -> GateResult:
    """The gate's decision and figures as the manifest holds them; raises as :func:`choose` does."""
    names = tuple(candidates)
    winner = choose(names, sums, max_drop)
    entries = tuple(
        CandidateResult(name=name, right=int(sums["gate_right"][i]), agree=int(sums["gate_agree"][i]), size=len(candidates[name]))
        for i, name in enumerate(names)
    )
    return GateResult(
        records=int(sums["gate_records"][0]),
        float_right=int(sums["gate_float_right"][0]),
        max_drop=max_drop,
        candidates=entries,
        winner=winner,
    )


def _answers(content: bytes, records: LabelledRecords, heads: Sequence[Head], *, exact: bool = False) -> NDArray[np.int64]:
    if not len(records.inputs):
        return np.zeros(0, np.int64)
    return answers(runtime.logits(runtime.session(content, exact=exact), records.inputs), records.labels, heads)
