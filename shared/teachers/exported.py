"""A graph exported by torch (``.pt2``) as a teacher that shows its output alone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shared.data.records import Records
from shared.errors import CheckpointError
from shared.files import read_bytes
from shared.models.features import Features
from shared.task import ImageTask, Task
from shared.teachers.archive import UnsafeArchiveError, checked_archive
from shared.teachers.pixels import Pixels
from shared.teachers.showing import damaged, digest_of, labels_of, telling_file


def open_exported(path: Path, task: Task) -> ExportedTeacher:
    """The graph in ``model.pt2``. Raises :class:`CheckpointError` where it is damaged, could run code, or does not fit the task."""
    return ExportedTeacher(telling_file(path, "model.pt2"), task)


class ExportedTeacher:
    """A graph of one input as a :class:`Teacher`: the task's raw input, or images ``float (n, C, H, W)`` in 0..1, to logits.

    Tokens may be int32 or int64, whichever the graph was exported with. A graph exported for a fixed batch is asked in such batches.
    """

    layers = 0

    def __init__(self, file: Path, task: Task) -> None:
        content = read_bytes(file, what="teacher")
        self._file, self._task = file, task
        program = _loaded(content, file)
        self._example = _example(program, file)
        self._batch = _fixed_batch(program)
        self._model: Any = program.module()
        self.parameters = sum(tensor.numel() for tensor in program.state_dict.values())
        self.digest = digest_of([file], "exported", task.family)

    def longest(self, records: Records) -> int:
        """0: only the output is shown."""
        return 0

    def show(self, records: Records, *, hidden: Sequence[int] = (), attentions: Sequence[int] = ()) -> Features:
        """As :meth:`Teacher.show`; an exported graph has no inside. Raises :class:`CheckpointError` where it does not fit the task."""
        inputs = self._inputs(torch.from_numpy(np.ascontiguousarray(records.inputs)))
        try:
            with torch.no_grad():
                found = self._asked(inputs)
        except Exception as error:
            # A graph's guards raise whatever they were traced with.
            raise self._misfit() from error
        if found.shape != (len(records), len(self._task.labels)):
            raise self._misfit()
        return Features(found.detach().to(torch.float32))

    def _asked(self, inputs: Tensor) -> Tensor:
        # Of a fixed batch each is filled up; a free one is at least 2 in most graphs, since torch takes 1 for a constant.
        size = self._batch or max(len(inputs), 2)
        parts = [inputs[start : start + size] for start in range(0, len(inputs), size)]
        filled = [torch.cat([part, part[:1].expand(size - len(part), *part.shape[1:])]) for part in parts]
        return torch.cat([self._model(part) for part in filled])[: len(inputs)]

    def _inputs(self, raw: Tensor) -> Tensor:
        if isinstance(self._task, ImageTask) and self._example.dtype.is_floating_point:
            if self._example.dim() != 4:
                raise self._misfit()
            raw = Pixels(channels=self._example.shape[1], size=self._example.shape[2])(raw)
        return raw.to(self._example.dtype)

    def _misfit(self) -> CheckpointError:
        return CheckpointError(
            f"the graph in {self._file} does not take this task's records or does not give {labels_of(self._task)}; "
            f"export one that does, with a batch of any size"
        )


def _loaded(content: bytes, file: Path) -> Any:
    try:
        return torch.export.load(io.BytesIO(checked_archive(content)))
    except UnsafeArchiveError as error:
        raise CheckpointError(
            f"the graph in {file} is refused, it holds {error}; write it with torch.export.save from a plain module"
        ) from error
    except Exception as error:
        # The archive's check and torch's reader have a class for each way to fail.
        raise damaged(file, error) from error


def _example(program: Any, file: Path) -> Tensor:
    found = program.example_inputs
    positional = list(found[0]) if found else []
    if len(positional) != 1 or found[1] or not isinstance(positional[0], Tensor):
        raise CheckpointError(f"the graph in {file} was not exported with one example input; export it again with one")
    return positional[0]


def _fixed_batch(program: Any) -> int:
    """The batch that a graph was exported for; 0 where it takes any."""
    (name,) = program.graph_signature.user_inputs
    (side,) = [node.meta["val"].shape[0] for node in program.graph.nodes if node.name == name]
    return side if isinstance(side, int) else 0
