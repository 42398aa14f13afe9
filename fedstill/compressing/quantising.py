"""A float student on its records becomes INT8 files, and the gate says which of them may be signed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedstill.report.compressed import FileFigures
from shared.task import Task, TextTask

if TYPE_CHECKING:
    from shared.compress.cost import Timing
    from shared.compress.gate import Allowed
    from shared.compress.manifest import GateResult
    from shared.data.records import Records

Ranges = dict[str, tuple[float, float]]
CALIBRATED = 2048
"""Records whose activations are counted at most: more move no range."""


@dataclass(frozen=True)
class Judged:
    """The gate's verdict on ``files``, and its sums."""

    files: Mapping[str, bytes]
    result: GateResult
    sums: Mapping[str, NDArray[np.int64]]

    @property
    def winner(self) -> bytes:
        """The file that may be signed."""
        return self.files[self.result.winner]


def calibrated(content: bytes, records: Records, task: Task) -> Ranges:
    """The range of each tensor of a float graph on the first :data:`CALIBRATED` of ``records``, as a federation counts them."""
    from shared.compress.calibrate import ranges_of

    return ranges_of(content, records.inputs[:CALIBRATED], padding=task.padding if isinstance(task, TextTask) else None)


def right_of(content: bytes, records: Records, task: Task) -> int:
    """How many labelled records an ONNX file is right about."""
    from shared.compress import runtime
    from shared.heads import answers

    found = answers(runtime.logits(runtime.session(content), records.inputs), records.labels, task.heads)
    return int((found == records.labels).sum())


def judged(original: bytes, files: Mapping[str, bytes], records: Records, task: Task, allowed: Allowed, timing: Timing | None) -> Judged:
    """Puts ``files``, the best first, before the gate on held-out ``records``; ``original`` is the float student that they come from.

    Raises :class:`shared.errors.ArtifactError` where none may be signed, as :func:`shared.compress.gate.choose` does.
    """
    from shared.compress.gate import gate_counts, results

    sums = gate_counts(original, files, records, task.heads)
    return Judged(files, results(original, files, sums, allowed, timing, masked=False), sums)


def figures_of(judged: Judged, inputs: NDArray[Any], latency: Callable[[bytes, NDArray[Any]], float]) -> Sequence[FileFigures]:
    """Every file's figures for people; ``latency``: seconds of a record as measured here."""
    from shared.compress.operators import count_operators

    records = judged.result.records
    found = []
    for entry in judged.result.candidates:
        content = judged.files[entry.name]
        operators = count_operators(content)
        found.append(
            FileFigures(
                name=entry.name,
                accuracy=entry.right / records,
                agreement=entry.agree / records,
                bytes=entry.size,
                here_ms=1000 * latency(content, inputs),
                device_ms=None if entry.seconds is None else 1000 * entry.seconds,
                int8=operators.int8,
                float=operators.float,
                signed=entry.name == judged.result.winner,
            )
        )
    return found
