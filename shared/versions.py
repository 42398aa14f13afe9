"""What an institution keeps to itself from round to round: one private safetensors file a version of what is learnt."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError

from shared.errors import CheckpointError
from shared.files import PRIVATE_MODE, read_bytes, write_atomic

KEPT = 3
"""Newest versions that are kept: a coordinator asks again for the last one at most."""

Tensors = TypeVar("Tensors")


@dataclass(frozen=True)
class Versions:
    """Learning ``version`` starts from what the newest earlier round left, and leaves ``version + 1``: ``folder/NAME-v00001.safetensors``.

    A version that is learnt again, after a void round or a crash, therefore starts from the same; an institution that was away goes on
    from its own last round. ``if_damaged`` is what to do about a damaged file, for the error's sentence.
    """

    folder: Path
    name: str
    if_damaged: str

    def newest(self, version: int, begun: int = 0) -> Path | None:
        """The file to start ``version`` from; ``None`` where there is none, and for the version at which what is learnt has ``begun``:
        what an earlier round left, whenever its institution was last there, is of something else."""
        earlier = [number for number in self._numbers() if begun < number <= version]
        return self._path(max(earlier)) if earlier else None

    def load(self, version: int, parse: Callable[[bytes], Tensors], begun: int = 0) -> Tensors | None:
        """What :meth:`newest` holds, as ``parse`` of safetensors gives it. Raises :class:`CheckpointError` for a damaged file."""
        if (path := self.newest(version, begun)) is None:
            return None
        try:
            return parse(read_bytes(path, what=self.name))
        except SafetensorError as error:
            raise CheckpointError(f"{path} is damaged; {self.if_damaged}") from error

    def save(self, version: int, content: bytes) -> None:
        """Keeps what learning ``version`` left; old versions, and those of an earlier run, are removed."""
        write_atomic(self._path(version + 1), content, mode=PRIVATE_MODE)
        # A new run starts at version 0: what lies above is an earlier run's.
        self._remove(number for number in self._numbers() if not version + 1 - KEPT < number <= version + 1)

    def clear(self) -> None:
        """Removes all versions."""
        self._remove(self._numbers())

    def _remove(self, numbers: Iterable[int]) -> None:
        for number in list(numbers):
            self._path(number).unlink(missing_ok=True)

    def _numbers(self) -> list[int]:
        found = (
            re.fullmatch(rf"{re.escape(self.name)}-v(\d{{5,}})\.safetensors", path.name) for path in self.folder.glob(f"{self.name}-v*")
        )
        return sorted(int(match[1]) for match in found if match)

    def _path(self, version: int) -> Path:
        return self.folder / f"{self.name}-v{version:05d}.safetensors"
