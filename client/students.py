"""An institution's own student, where only its answers travel: one private file a version of the consensus.

A file holds one tensor, named by everything but records that decides what the student is: its shape, its task and its run.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from shared.config import InstitutionConfig
from shared.versions import Versions
from shared.work import AnswerWork


class StudentStore:
    """Students by version and key, as :class:`shared.versions.Versions` says."""

    def __init__(self, folder: Path) -> None:
        self._files = Versions(folder, "own-student", "restore a copy, or remove it and the student starts anew")

    def load(self, version: int, key: str) -> NDArray[np.float32] | None:
        """The parameters ``float32 (d,)`` to start ``version`` from; ``None`` for version 0, and where the run has none of this key.

        Raises :class:`CheckpointError` for a damaged file.
        """
        found: NDArray[np.float32] | None = (self._files.load(version, load) or {}).get(key)
        return found

    def save(self, version: int, key: str, vector: NDArray[np.float32]) -> None:
        """Keeps what learning ``version`` left."""
        self._files.save(version, save({key: vector}))


def student_key(config: InstitutionConfig, work: AnswerWork) -> str:
    """Names what may go on as the same student (hex): another shape, task, normalisation, seed or proxy set starts anew."""
    parts = (config.student.canonical(), config.task.canonical(), work.normalisation.canonical(), str(work.seed).encode())
    digest = hashlib.sha256(work.proxy_sha256.encode())
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()
