"""A teacher that is the student's own moving average (mean teacher, Tarvainen & Valpola 2017)."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from shared.models.device import device_of
from shared.models.features import Features, features
from shared.models.layers import use_dropout
from shared.models.network import trimmed_for


class AverageTeacher:
    """``average = decay * average + (1 - decay) * student`` at each step, from the student as it arrived.

    It is asked outside training mode, of each record as it is, whatever view the student sees, and dies with the round: only
    the student leaves the institution.
    """

    def __init__(self, student: nn.Module, inputs: Tensor, decay: float) -> None:
        """``inputs``: all records'. ``decay`` in 0..1: 0 is the student itself, 1 the student as it arrived."""
        self._student, self._inputs, self._decay = student, inputs, decay
        use_dropout(student, None)
        self._model = copy.deepcopy(student).eval()

    def parameters(self) -> Iterator[Tensor]:
        """The average's weights."""
        return self._model.parameters()

    def follow(self) -> None:
        """Moves the average towards the student's weights of now."""
        with torch.no_grad():
            for own, other in zip(self._model.parameters(), self._student.parameters(), strict=True):
                own.lerp_(other, 1 - self._decay)

    def take(self, rows: Tensor, view: int = 0) -> Features:
        """The average's features of the records at ``rows``, int64 ``(batch,)``, as they are in every ``view``."""
        with torch.no_grad():
            return features(self._model, trimmed_for(self._model, self._inputs.index_select(0, rows)).to(device_of(self._model)))
