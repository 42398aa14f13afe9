"""How the student goes down: what a step makes of it, and in which form each institution gets it.

The student moves only as far as a packed delta can say (``shared/deltas.py``), so that both sides hold the same bits; the
rest waits in the run's state for the next step. A round's model then travels as nothing to whoever holds it already, as the
delta to whoever holds the one before, and whole to everyone else: to those who missed a round, and in a run's first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from server.records import StoredRound
from server.state import DELTA_SUFFIX, RunState, file_before, vector_blob
from shared.config import Downlink
from shared.deltas import moved, pack, quantise
from shared.errors import NotFiniteError
from shared.files import read_bytes


@dataclass(frozen=True)
class Move:
    """The new student ``float32 (d,)``, what is left over ``float64 (d,)``, and the packed delta; the last two may be empty."""

    vector: NDArray[np.float32]
    residual: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    delta: bytes = b""


def move_to(
    target: NDArray[np.float32],
    state: RunState,
    downlink: Downlink,
    content: Callable[[NDArray[np.float32]], bytes] = vector_blob,
) -> Move:
    """From the state's student towards ``target`` plus what was left over before: all the way, or as far as a delta goes.

    ``content`` is the form in which a vector travels whole; it ends in the vector. What is left over is the difference in
    ``float64``, the rounding of the moved vector included. Raises :class:`NotFiniteError` where the optimiser has left the numbers.
    """
    if downlink == "full":
        return Move(target)
    # In place, for each of these arrays is twice as large as the student: (target - vector) + residual, then change - (moved - vector).
    change = target.astype(np.float64)
    change -= state.vector
    if state.residual.size:
        change += state.residual
    delta = quantise(change)
    vector = moved(state.vector, delta)
    if not np.isfinite(vector).all():
        raise NotFiniteError("the student holds a NaN or an infinity; lower optimizer.learning_rate")
    gone = vector.astype(np.float64)
    gone -= state.vector
    change -= gone
    return Move(vector, change, pack(delta, content(state.vector), content(vector)))


@dataclass(frozen=True)
class RoundModel:
    """One round's model: ``content`` whole in the file ``name``, ``delta`` to it from the file ``base`` (empty: there is none).

    ``held`` are the files that institutions are known to hold.
    """

    name: str
    base: str
    content: bytes
    delta: bytes
    held: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path, stored: StoredRound, rounds: Iterable[StoredRound]) -> RoundModel:
        """The model of a stored round from the run's folder; ``rounds`` tell who holds what, none of them: nobody anything."""
        if not stored.blob:
            return cls("", "", b"", b"", {})
        path = folder / stored.blob
        beside = path.with_suffix(DELTA_SUFFIX)
        delta = read_bytes(beside, what="delta of the round") if beside.exists() else b""
        # What a delta starts from; of a file without versions there is none.
        base = file_before(stored.blob) if delta else ""
        return cls(stored.blob, base, read_bytes(path, what="model of the round"), delta, held_files(rounds))

    def blob_for(self, institution: str) -> bytes:
        """The shortest form that this institution can be expected to read."""
        held = self.held.get(institution)
        if held == self.name:
            return b""
        return self.delta if self.delta and held == self.base else self.content


def held_files(rounds: Iterable[StoredRound]) -> dict[str, str]:
    """Institution → file of the newest model with which it answered a round; ``rounds`` are in order.

    It may have lost it since, or hold a newer one whose answer did not arrive: either costs one more message at most.
    """
    return {name: stored.blob for stored in rounds if stored.blob for name in stored.record.bytes_up}
