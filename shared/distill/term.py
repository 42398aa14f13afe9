"""What a term of the objective is. A new loss is one more file with one of these, and one line in ``objective.py``."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from shared.models.features import Features


class Term(nn.Module, ABC):
    """A loss over one batch, written against :class:`Features` alone. Its own parameters are learnt with the student."""

    @abstractmethod
    def forward(self, student: Features, teacher: Features | None, labels: Tensor) -> Tensor:
        """The mean over the batch, a scalar that is never negative. ``labels``: int64 ``(batch,)``."""


def known(teacher: Features | None) -> Features:
    """The teacher's features, which a term that needs them is only ever declared with."""
    assert teacher is not None, "a term that needs a teacher was declared without one"
    return teacher
