"""What of a compression is kept until it is done: every student that took training to make, so that a killed command goes on from it.

A step's name is the digest of all that it depends on: the student before it, the records, the teacher, and the settings of training. A
folder that was left in the middle can therefore be taken up by the same command, and by another one too: what fits is used again, what
does not fit is made anew, and nothing half-written is ever read. The folder of steps goes once the artifact is signed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from shared.errors import CheckpointError
from shared.files import PRIVATE_MODE, read_bytes, write_atomic

if TYPE_CHECKING:
    from shared.data.records import Records
    from shared.models import Network

STEPS_FOLDER = ".steps"
Ranges = dict[str, tuple[float, float]]


class Steps:
    """The kept steps of one compression's folder. ``reused`` counts those that did not have to be made again."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.reused = folder / STEPS_FOLDER, 0

    def student(self, name: str, make: Callable[[], Network]) -> Network:
        """The student of a step that was finished before, else what ``make`` gives, kept."""
        return self.student_with_ranges(name, lambda: (make(), {}))[0]

    def student_with_ranges(self, name: str, make: Callable[[], tuple[Network, Ranges]]) -> tuple[Network, Ranges]:
        """As :meth:`student`, for a step that gives ranges of tensors too."""
        from shared.models import load_model, save_model

        weights, ranges = self._folder / f"{name}.safetensors", self._folder / f"{name}.json"
        # The ranges are written last: where they are, the step is whole.
        if ranges.is_file():
            try:
                found = load_model(weights), {key: (low, high) for key, (low, high) in json.loads(read_bytes(ranges)).items()}
            except (CheckpointError, ValueError):
                pass  # a disk may lose what it had promised: then the step is made again
            else:
                self.reused += 1
                return found
        made, learnt = make()
        save_model(weights, made, mode=PRIVATE_MODE)
        write_atomic(ranges, json.dumps(learnt).encode(), mode=PRIVATE_MODE)
        return made, learnt

    def scratch(self) -> tempfile.TemporaryDirectory[str]:
        """A folder for what no later command is to find; what a killed one left of its own goes first."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for left in self._folder.glob("scratch-*"):
            shutil.rmtree(left, ignore_errors=True)
        return tempfile.TemporaryDirectory(dir=self._folder, prefix="scratch-")

    def finished(self) -> None:
        """Removes all steps: the compression is done, and its folder is for others to have."""
        shutil.rmtree(self._folder, ignore_errors=True)


def left_unfinished(folder: Path) -> bool:
    """Whether a compression began in ``folder`` and did not come to its end."""
    return (folder / STEPS_FOLDER).is_dir()


def step_name(student: Network, records: Records, teacher: str, *settings: str) -> str:
    """The name of the step that trains ``student`` on ``records``; ``teacher`` is the teacher's digest."""
    import torch

    from shared.models.checkpoint import model_bytes

    parts = (model_bytes(student), *(np.ascontiguousarray(part).tobytes() for part in (records.inputs, records.labels)))
    texts = (teacher, torch.__version__, str(torch.get_num_threads()), *settings)
    digest = hashlib.sha256()
    for part in (*parts, *(text.encode() for text in texts)):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:32]
