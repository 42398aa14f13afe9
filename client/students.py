"""An institution's own student, where only its answers travel: one private file a version of the consensus.

A file holds one tensor, named by everything but records that decides what the student is: its shape, its task and its run. The
embeddings that are its own where entities are shared are kept the same way (``client/entities.py``).
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from shared.config import InstitutionConfig
from shared.errors import CheckpointError
from shared.files import PRIVATE_MODE, read_bytes, write_atomic
from shared.work import AnswerWork

KEPT = 3
"""Newest versions that are kept: a coordinator asks again for the last one at most."""
_VERSION = re.compile(r".+-v(\d{5,})\.safetensors")


class StudentStore:
    """Round ``version`` starts from the student that the newest earlier round left, and leaves ``version + 1``.

    A version that is learnt again, after a void round or a crash, therefore starts from the same student; an institution that
    was away goes on from its own last round.
    """

    def __init__(self, folder: Path, name: str = "own-student") -> None:
        self._folder, self._name = folder, name

    def load(self, version: int, key: str) -> NDArray[np.float32] | None:
        """The parameters ``float32 (d,)`` to start ``version`` from; ``None`` for version 0, and where the run has none of this key.

        Raises :class:`CheckpointError` for a damaged file.
        """
        earlier = [number for number in self._versions() if number <= version]
        if version == 0 or not earlier:
            return None
        path = self._path(max(earlier))
        try:
            found: NDArray[np.float32] | None = load(read_bytes(path, what=self._name)).get(key)
        except SafetensorError as error:
            raise CheckpointError(f"{path} is damaged; restore a copy, or remove it and what it held starts anew") from error
        return found

    def save(self, version: int, key: str, vector: NDArray[np.float32]) -> None:
        """Keeps what learning ``version`` left; old versions, and those of an earlier run, are removed."""
        write_atomic(self._path(version + 1), save({key: vector}), mode=PRIVATE_MODE)
        for number in self._versions():
            if number <= version + 1 - KEPT or number > version + 1:
                self._path(number).unlink(missing_ok=True)

    def _versions(self) -> list[int]:
        found = (_VERSION.fullmatch(path.name) for path in self._folder.glob(f"{self._name}-v*.safetensors"))
        return sorted(int(match[1]) for match in found if match)

    def _path(self, version: int) -> Path:
        return self._folder / f"{self._name}-v{version:05d}.safetensors"


def student_key(config: InstitutionConfig, work: AnswerWork) -> str:
    """Names what may go on as the same student (hex): another shape, task, normalisation, seed or proxy set starts anew."""
    parts = (config.student.canonical(), config.task.canonical(), work.normalisation.canonical(), str(work.seed).encode())
    digest = hashlib.sha256(work.proxy_sha256.encode())
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()
