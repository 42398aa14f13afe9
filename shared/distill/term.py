"""What a term of the objective is. A new loss is one more file with one of these, and one line in ``objective.py``."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from shared.models.features import Features

UNLABELLED = -1
"""The label of a record that has none: hard labels leave it out, a teacher may still say what it thinks of it."""


class Term(nn.Module, ABC):
    """A loss over one batch, written against :class:`Features` alone. Its own parameters are learnt with the student."""

    @abstractmethod
    def forward(self, student: Features, teacher: Features | None, labels: Tensor) -> Tensor:
        """Each record's loss ``(batch,)``, never negative, whose mean is the batch's.

        ``labels``: int64 ``(batch,)``, :data:`UNLABELLED` where there is none. A loss that only a whole batch has stands at every record.
        """

    def counted(self, labels: Tensor) -> Tensor:
        """The records whose mean the term gives, bool ``(batch,)``: all, unless it gives :func:`spread` losses."""
        return torch.ones_like(labels, dtype=torch.bool)


def known(teacher: Features | None) -> Features:
    """The teacher's features, which a term that needs them is only ever declared with."""
    assert teacher is not None, "a term that needs a teacher was declared without one"
    return teacher


def spread(losses: Tensor, counted: Tensor) -> Tensor:
    """``losses`` ``(batch,)`` of the ``counted`` records (bool ``(batch,)``), 0 at the others, scaled so that the mean over all is theirs.

    0 everywhere where no record counts.
    """
    share = counted.to(losses.dtype).mean()
    return losses.masked_fill(~counted, 0.0) / share.clamp_min(0.5 / max(len(losses), 1))
