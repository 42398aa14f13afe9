"""What rounding left over of an institution's updates: one file a version of the student, private to the institution.

A file holds one tensor, named by its run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from shared.errors import CheckpointError
from shared.versions import Versions

Residual = NDArray[np.float32]


class Residuals(Protocol):
    """Training ``version`` starts from what the newest earlier round left over, and leaves ``version + 1``.

    A version that is trained again therefore starts from the same residual, whether its round was void or the institution
    died; who was away goes on from its own last round.
    """

    def load(self, run: str, version: int, size: int, begun: int = 0) -> Residual:
        """What to add to the update of ``version``: ``float32 (size,)``, zeros where the run has left nothing over since the student
        has ``begun``."""
        ...

    def save(self, run: str, version: int, residual: Residual) -> None:
        """Keeps what the update of ``version`` left over."""
        ...


class ResidualStore:
    """Residuals as files in an institution's state folder."""

    def __init__(self, folder: Path) -> None:
        self._files = Versions(folder, "residual", "remove it: what rounding left over is lost, nothing else")

    def load(self, run: str, version: int, size: int, begun: int = 0) -> Residual:
        """As :meth:`Residuals.load`. Raises :class:`CheckpointError` for a damaged file, or one of another student."""
        residual: Residual = (self._files.load(version, load, begun) or {}).get(run, np.zeros(size, np.float32))
        if residual.shape != (size,) or residual.dtype != np.float32:
            path = self._files.newest(version, begun)
            raise CheckpointError(f"{path} is of another student, not of one with {size} parameters; remove it")
        return residual

    def save(self, run: str, version: int, residual: Residual) -> None:
        """As :meth:`Residuals.save`; old versions, and those of an earlier run, are removed."""
        self._files.save(version, save({run: residual}))


class MemoryResiduals:
    """The newest residual in memory, for loops in one process that repeat nothing."""

    def __init__(self) -> None:
        self._newest: Residual | None = None

    def load(self, run: str, version: int, size: int, begun: int = 0) -> Residual:
        """As :meth:`Residuals.load`."""
        return np.zeros(size, np.float32) if self._newest is None or version == begun else self._newest

    def save(self, run: str, version: int, residual: Residual) -> None:
        """As :meth:`Residuals.save`."""
        self._newest = residual
