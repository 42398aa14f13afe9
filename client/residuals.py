"""What rounding left over of an institution's updates: one file a version of the student, private to the institution.

A file holds one tensor, named by its run.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from shared.errors import CheckpointError
from shared.files import PRIVATE_MODE, read_bytes, write_atomic

KEPT = 3
"""Newest versions that are kept: a coordinator asks again for the last one at most."""
_NAME = re.compile(r"residual-v(\d{5,})\.safetensors")

Residual = NDArray[np.float32]


class Residuals(Protocol):
    """Training ``version`` starts from what the newest earlier round left over, and leaves ``version + 1``.

    A version that is trained again therefore starts from the same residual, whether its round was void or the institution
    died; who was away goes on from its own last round.
    """

    def load(self, run: str, version: int, size: int) -> Residual:
        """What to add to the update of ``version``: ``float32 (size,)``, zeros for version 0 or where the run left nothing over."""
        ...

    def save(self, run: str, version: int, residual: Residual) -> None:
        """Keeps what the update of ``version`` left over."""
        ...


class ResidualStore:
    """Residuals as files in an institution's state folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, run: str, version: int, size: int) -> Residual:
        """As :meth:`Residuals.load`. Raises :class:`CheckpointError` for a damaged file, or one of another student."""
        earlier = [number for number in self._versions() if number <= version]
        if version == 0 or not earlier:
            return np.zeros(size, np.float32)
        path = self._path(max(earlier))
        try:
            residual: Residual = load(read_bytes(path, what="residual")).get(run, np.zeros(size, np.float32))
        except SafetensorError as error:
            raise CheckpointError(f"{path} is damaged; remove it: what rounding left over is lost, nothing else") from error
        if residual.shape != (size,) or residual.dtype != np.float32:
            raise CheckpointError(f"{path} is of another student, not of one with {size} parameters; remove it")
        return residual

    def save(self, run: str, version: int, residual: Residual) -> None:
        """As :meth:`Residuals.save`; old versions, and those of an earlier run, are removed."""
        write_atomic(self._path(version + 1), save({run: residual}), mode=PRIVATE_MODE)
        for number in self._versions():
            if number <= version + 1 - KEPT or number > version + 1:
                self._path(number).unlink(missing_ok=True)

    def _versions(self) -> list[int]:
        found = (_NAME.fullmatch(path.name) for path in self._folder.glob("residual-v*.safetensors"))
        return sorted(int(match[1]) for match in found if match)

    def _path(self, version: int) -> Path:
        return self._folder / f"residual-v{version:05d}.safetensors"


class MemoryResiduals:
    """The newest residual in memory, for loops in one process that repeat nothing."""

    def __init__(self) -> None:
        self._newest: Residual | None = None

    def load(self, run: str, version: int, size: int) -> Residual:
        """As :meth:`Residuals.load`."""
        return np.zeros(size, np.float32) if self._newest is None or version == 0 else self._newest

    def save(self, run: str, version: int, residual: Residual) -> None:
        """As :meth:`Residuals.save`."""
        self._newest = residual
