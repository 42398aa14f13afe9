"""A teacher that was fitted here, from its folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from shared.data.records import Records
from shared.distill.teacher import load_teacher
from shared.models.checkpoint import model_bytes
from shared.models.features import Features, features
from shared.models.network import Network, count_parameters
from shared.task import Task, TextTask
from shared.teachers.showing import chosen


def open_own(folder: Path, task: Task) -> OwnTeacher:
    """The teacher in a folder with ``teacher.json``. Raises as :func:`shared.distill.teacher.load_teacher`."""
    return OwnTeacher(load_teacher(folder, task))


class OwnTeacher:
    """One of fedstill's own networks as a :class:`Teacher`."""

    def __init__(self, network: Network) -> None:
        self._network = network.eval()
        with torch.no_grad():
            probe = features(network, torch.from_numpy(_blank(network.task)))
        self.layers = max(len(probe.hidden_states) - 1, 0)
        self.digest = hashlib.sha256(model_bytes(network)).hexdigest()
        self.parameters = count_parameters(network)
        self._added = 0 if probe.mask is None else probe.mask.shape[1] - _blank(network.task).shape[1]

    def longest(self, records: Records) -> int:
        """As :meth:`Teacher.longest`."""
        task = self._network.task
        if not isinstance(task, TextTask):
            return 0
        return max(int((records.inputs != task.padding).sum(axis=1).max(initial=0)), 1) + self._added

    def show(self, records: Records, *, hidden: Sequence[int] = (), attentions: Sequence[int] = ()) -> Features:
        """As :meth:`Teacher.show`."""
        with torch.no_grad():
            found = features(self._network, torch.from_numpy(records.inputs))
        return chosen(found, hidden, attentions)


def _blank(task: Task) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    if task.family == "image":
        return np.zeros((1, task.size, task.size, task.channels), np.uint8)
    if task.family == "tabular":
        return np.full((1, len(task.columns)), np.nan, np.float32)
    return np.full((1, task.max_tokens), 1 if task.padding == 0 else 0, np.int32)
