"""Where an institution keeps its alignment projections between rounds: one file a version of the student, private."""

from __future__ import annotations

import re
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save

from shared.distill.trainer import AlignmentState
from shared.errors import CheckpointError
from shared.files import PRIVATE_MODE, read_bytes, write_atomic

KEPT = 3
"""Newest versions that are kept: a coordinator asks again for the last one at most."""
_NAME = re.compile(r"alignment-v(\d{5,})\.safetensors")


class AlignmentStore:
    """Round ``version`` starts from what the newest earlier round left, and leaves ``version + 1``.

    Training a version again therefore starts from the same weights, after a crash too; an institution that was away
    goes on from its own last round.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, version: int) -> AlignmentState:
        """The state to start ``version`` from; empty for version 0 and where there is none. Raises :class:`CheckpointError`."""
        earlier = [number for number in self._versions() if number <= version]
        if version == 0 or not earlier:
            return {}
        path = self._path(max(earlier))
        try:
            state: AlignmentState = load(read_bytes(path, what="alignment"))
        except SafetensorError as error:
            raise CheckpointError(f"{path} is damaged; remove it, and the projections are learnt anew") from error
        return state

    def save(self, version: int, state: AlignmentState) -> None:
        """Keeps what training ``version`` left. A state without projections needs no file."""
        if state:
            content: bytes = save(dict(state))
            write_atomic(self._path(version + 1), content, mode=PRIVATE_MODE)
        for number in self._versions():
            # A new run starts at version 0: what lies above, or beside a state without projections, is an earlier run's.
            if not state or number <= version + 1 - KEPT or number > version + 1:
                self._path(number).unlink(missing_ok=True)

    def _versions(self) -> list[int]:
        found = (_NAME.fullmatch(path.name) for path in self._folder.glob("alignment-v*.safetensors"))
        return sorted(int(match[1]) for match in found if match)

    def _path(self, version: int) -> Path:
        return self._folder / f"alignment-v{version:05d}.safetensors"
