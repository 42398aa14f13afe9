"""A teacher that needs no model: one that is right, and nearly sure (Tf-KD_reg, Yuan et al. 2020, section 5)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from shared.distill.divergence import divergence, softened
from shared.distill.term import UNLABELLED, Term, spread
from shared.models.features import Features


class VirtualTeacher(Term):
    """``T² * mean_b KL(p_b || softmax(student_b / T))`` over the labelled records b, 0 where there are none.

    ``p`` is the paper's eq. 8, ``a`` for the label and ``(1 - a) / (labels - 1)`` for each other, softened by the temperature ``T`` as
    logits are. It knows nothing of a record without a label.
    """

    def __init__(self, temperature: float, correct_probability: float) -> None:
        """``correct_probability``: ``a`` in 0.9..1, 1 excluded."""
        super().__init__()
        self.temperature, self.correct_probability = temperature, correct_probability

    def counted(self, labels: Tensor) -> Tensor:
        """The labelled records, bool ``(batch,)``."""
        return labels != UNLABELLED

    def forward(self, student: Features, teacher: Features | None, labels: Tensor) -> Tensor:
        """``(batch,)``, 0 at unlabelled records; ``student.logits``: ``(batch, labels)``."""
        wanted = softened(self._logits(labels, student.logits), self.temperature)
        losses = self.temperature**2 * divergence(softened(student.logits, self.temperature), wanted)
        return spread(losses, self.counted(labels))

    def _logits(self, labels: Tensor, like: Tensor) -> Tensor:
        other = math.log((1 - self.correct_probability) / (like.shape[-1] - 1))
        chosen = torch.arange(like.shape[-1], device=labels.device) == labels.unsqueeze(1)
        return torch.full_like(like.detach(), other).masked_fill(chosen, math.log(self.correct_probability))
