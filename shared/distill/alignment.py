"""Where an institution keeps its alignment projections between rounds: one file a version of the student, private."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load, save

from shared.distill.trainer import AlignmentState
from shared.versions import Versions


class AlignmentStore:
    """Alignment states by version, as :class:`shared.versions.Versions` says."""

    def __init__(self, folder: Path) -> None:
        self._files = Versions(folder, "alignment", "remove it, and the projections are learnt anew")

    def load(self, version: int, begun: int = 0) -> AlignmentState:
        """The state to start ``version`` from; empty where none is left since ``begun``. Raises :class:`CheckpointError`."""
        state: AlignmentState = self._files.load(version, load, begun) or {}
        return state

    def save(self, version: int, state: AlignmentState) -> None:
        """Keeps what training ``version`` left. A state without projections needs no file, and what lies beside it is an earlier run's."""
        if state:
            self._files.save(version, save(dict(state)))
        else:
            self._files.clear()
