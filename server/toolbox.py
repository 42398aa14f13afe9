"""What the coordinator needs of models, statistics and compression, behind one seam: torch and onnx load at first use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from server.records import RoundRecord
from server.state import RunState
from shared.secagg.messages import Fragment
from shared.settings import NetworkSettings
from shared.work import Normalisation

FLOAT = "float"
"""Name of the float graph among the gate's files."""

MADE_OTHERWISE = (
    "the INT8 files are made otherwise now than when institutions judged them: install the fedstill and onnxruntime, and restore the "
    "device's profile, with which the run was judged, and start it again"
)
Ranges = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Student:
    """A student by its parameters ``float32 (d,)``, the normalisation inside it, and its shape where it is not the federation's.

    ``unpruned``: the parameters of the one that it was cut out of, with which the gate compares what comes of it; else None.
    """

    vector: NDArray[np.float32]
    normalisation: Normalisation
    settings: NetworkSettings | None = None
    unpruned: NDArray[np.float32] | None = None


def student_of(state: RunState) -> Student:
    """The student of a run, and rows behind it where entities are shared and training lasts."""
    facts = state.facts
    return Student(state.vector, facts.normalisation, facts.student, state.unpruned if state.unpruned.size else None)


@dataclass(frozen=True)
class Publication:
    """Everything an artifact is made of: the final state, and the run's history for its provenance.

    ``version`` is one more than how many runs of this coordinator have finished before.
    """

    run: str
    folder: Path
    state: RunState
    rounds: Sequence[RoundRecord]
    roster_digest: bytes
    version: int


class Toolbox(Protocol):
    """Every method is a function of its arguments and the federation's configuration alone."""

    def exponents(self, sums: NDArray[np.int64]) -> tuple[int, ...]:
        """Each numeric column's exponent from the counts by power of two."""
        ...

    def normalisation(self, sums: Mapping[str, NDArray[np.int64]], exponents: tuple[int, ...]) -> Normalisation:
        """Means and deviations from the masked moments, and with ``[knowledge.table]`` what the public graph knows of categories."""
        ...

    def initial(self, normalisation: Normalisation) -> NDArray[np.float32]:
        """The student's first parameters, from the federation's seed."""
        ...

    def proxy(self, normalisation: Normalisation) -> NDArray[Any]:
        """The proxy records of a federation of answers, in the task's raw form."""
        ...

    def graph(self) -> bytes:
        """The public knowledge graph as it travels (``shared/knowledge/packed.py``); empty where there is none."""
        ...

    def distilled(self, normalisation: Normalisation, consensus: NDArray[np.float32]) -> NDArray[np.float32]:
        """The parameters of a student that learnt from the proxy records and the consensus ``(records, labels)`` alone."""
        ...

    def fragments(self, student: Student) -> Mapping[str, Fragment]:
        """The coordinates that each institution with a fragment trains. Raises :class:`shared.errors.ConfigError`."""
        ...

    def outputs(self, student: Student) -> Sequence[Fragment]:
        """The coordinates of each head's outputs; empty where the task has no heads."""
        ...

    def parts(self, student: Student) -> tuple[int, int, int]:
        """How many blocks, attention heads and inner channels the student has."""
        ...

    def pruned(self, student: Student, sums: Mapping[str, NDArray[np.int64]]) -> tuple[NetworkSettings, NDArray[np.float32]]:
        """Shape and parameters of the student that is left of it, from summed importances."""
        ...

    def tensors(self, student: Student) -> tuple[str, ...]:
        """The tensors of the float graph whose ranges are needed."""
        ...

    def choose_ranges(self, tensors: tuple[str, ...], sums: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Where each tensor's histogram begins and ends."""
        ...

    def clip_ranges(self, tensors: tuple[str, ...], lows: tuple[float, ...], highs: tuple[float, ...], sums: NDArray[np.int64]) -> Ranges:
        """The range that is quantised, for each tensor."""
        ...

    def candidates(self, student: Student, ranges: Ranges) -> dict[str, bytes]:
        """Every INT8 candidate, best first, as ONNX files, and as :data:`FLOAT` the float graph that the gate compares them with: the
        student's own, or of a pruned student the one that it was cut out of."""
        ...

    def loses_too_much(self, student: Student, ranges: Ranges, sums: Mapping[str, NDArray[np.int64]]) -> bool:
        """Whether the gate may sign none of the candidates by its counts, and could if they lost less."""
        ...

    def publish(self, publication: Publication) -> Path:
        """Writes ``student.safetensors`` and the signed artifact; returns the artifact's folder. Safe to call again.

        Raises :class:`shared.errors.ArtifactError` where no candidate passes the gate.
        """
        ...
