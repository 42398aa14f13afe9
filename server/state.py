"""What a run knows after a closed round: a value that is written whole, so that a stopped run goes on bit by bit the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from shared.attached import blob_of
from shared.errors import CheckpointError
from shared.files import read_bytes, write_atomic
from shared.frozen import Frozen
from shared.settings import NetworkSettings
from shared.work import Normalisation

PhaseName = Literal[
    "statistics-range",
    "statistics-moments",
    "entities",
    "train",
    "importance",
    "calibrate-range",
    "calibrate-histogram",
    "gate",
    "publish",
    "finished",
]

COUNT_WEIGHT_CAP = 2**31
"""Weight cap of rounds that only count: no institution's records are cut, and a sum over any cohort stays far below 2^64."""
FAIR_SHARE = 2
"""An institution weighs at most this many times the mean institution, however many records it has."""
DELTA_SUFFIX = ".delta"
_FACTS = "facts"
_MOMENT, _RESIDUAL, _DELTA, _UNPRUNED = "moment:", "residual", "delta", "unpruned"


class SharedFacts(Frozen):
    """Entities that institutions share (``server/entities.py``): the slots that are ``kept``, ascending, how many institutions each is
    ``known_to``, and the institutions ``among`` which that was counted."""

    kept: tuple[int, ...]
    known_to: tuple[int, ...]
    among: tuple[str, ...]


class Facts(Frozen):
    """The part of the state that is not an array. ``version`` counts the updates applied to the student, or to the consensus;
    ``clip_norm`` is the next round's (0: the one of the settings); ``proxy_sha256`` is empty where weights travel, ``graph_sha256``
    where there is no public knowledge graph. ``shared`` is known once entities are counted, where they are shared. ``student`` is the
    shape of a pruned student, ``begun`` the version at which it became that, or stopped to be; ``undone`` counts the updates that went
    with it then, null where none was given up. ``float_version`` is the version at which training in
    float ended and the student began to learn with the grid, where it does. ``judged`` are names and SHA-256 of the files whose counts
    ``gate`` holds, in their order."""

    phase: PhaseName
    version: int = 0
    weight_cap: int = COUNT_WEIGHT_CAP
    clip_norm: float = 0.0
    exponents: tuple[int, ...] = ()
    normalisation: Normalisation = Normalisation()
    proxy_sha256: str = ""
    graph_sha256: str = ""
    shared: SharedFacts | None = None
    student: NetworkSettings | None = None
    begun: int = 0
    undone: int | None = None
    label_shares: tuple[float, ...] = ()
    float_version: int | None = None
    tensors: tuple[str, ...] = ()
    lows: tuple[float, ...] = ()
    highs: tuple[float, ...] = ()
    ranges: dict[str, tuple[float, float]] = Field(default_factory=dict)
    gate: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    judged: tuple[tuple[str, str], ...] = ()
    metrics: dict[str, float] = Field(default_factory=dict)


@dataclass(frozen=True)
class RunState:
    """Facts, the student ``float32 (d,)`` (empty before the first training round), and the optimiser's moments.

    Where institutions exchange answers, ``vector`` is the consensus (``shared/answers.py``) until the last of those rounds, and the
    student that learnt from it from then on.

    Where entities are shared, ``vector`` ends with their rows while training lasts (``server/entities.py``).

    ``residual float64 (d,)`` is what packing has left over for the next delta, ``delta`` the packed delta from the student
    one version before; both are empty before the first update and where the student goes down whole. ``unpruned float32`` is the
    student as it was before it was pruned, with which the gate compares what came of it; else empty.
    """

    facts: Facts
    vector: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    moments: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    residual: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    delta: bytes = b""
    unpruned: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    def to_bytes(self) -> bytes:
        """The one encoding of this state (safetensors; the facts are its metadata)."""
        tensors: dict[str, NDArray[Any]] = {"vector": self.vector, _RESIDUAL: self.residual, _DELTA: np.frombuffer(self.delta, np.uint8)}
        tensors |= {f"{_MOMENT}{name}": moment for name, moment in sorted(self.moments.items())}
        tensors |= {_UNPRUNED: self.unpruned} if self.unpruned.size else {}
        return save(tensors, metadata={_FACTS: self.facts.canonical().decode()})

    @classmethod
    def from_bytes(cls, content: bytes, *, where: str) -> RunState:
        """The state that ``content`` holds; raises :class:`CheckpointError` that names ``where`` it came from."""
        try:
            tensors = load(content)
            facts = Facts.parse(_metadata(content)[_FACTS].encode())
            moments = {name.removeprefix(_MOMENT): tensor for name, tensor in tensors.items() if name.startswith(_MOMENT)}
            unpruned = tensors.get(_UNPRUNED, np.zeros(0, np.float32))
            return cls(facts, tensors["vector"], moments, tensors[_RESIDUAL], tensors[_DELTA].tobytes(), unpruned)
        except (SafetensorError, ValidationError, KeyError, ValueError) as error:
            raise CheckpointError(f"the checkpoint {where} is damaged; restore it from a copy or start a new run") from error

    def write(self, path: Path) -> None:
        """Writes the checkpoint whole or not at all."""
        write_atomic(path, self.to_bytes())

    @classmethod
    def read(cls, path: Path) -> RunState:
        """Reads a checkpoint; raises :class:`CheckpointError` or :class:`MissingFileError`."""
        return cls.from_bytes(read_bytes(path, what="checkpoint"), where=str(path))


def student_file(version: int) -> str:
    """The name of a student's content in the run's folder; its delta lies beside it with the suffix :data:`DELTA_SUFFIX`."""
    return f"student-v{version:05d}.safetensors"


def consensus_file(version: int) -> str:
    """As :func:`student_file`, for a consensus."""
    return f"consensus-v{version:05d}.safetensors"


def pruned_file(version: int) -> str:
    """As :func:`student_file`, for a pruned student: its first version is another content than the last before it."""
    return f"pruned-v{version:05d}.safetensors"


def file_before(name: str) -> str:
    """The file of the version one before that of ``name``, which one of the three above has named."""
    head, _, tail = name.rpartition("-v")
    version, _, suffix = tail.partition(".")
    return f"{head}-v{int(version) - 1:05d}.{suffix}"


def vector_blob(vector: NDArray[np.float32], attached: Mapping[str, NDArray[np.uint64]] = MappingProxyType({})) -> bytes:
    """The student as it travels: safetensors ``{"vector": float32 (d,)}`` behind what is ``attached`` (``shared/attached.py``)."""
    return blob_of(vector, attached)


def _metadata(content: bytes) -> dict[str, str]:
    # safetensors: 8 bytes little-endian header length, then a JSON header; the library's loader drops the metadata.
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    return dict(metadata)
