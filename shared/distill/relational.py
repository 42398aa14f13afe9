"""The teacher's order of labels and of records, not its numbers (DIST, Huang et al. 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

from shared.distill.divergence import softened
from shared.distill.term import Term, known
from shared.models.features import Features

SMALLEST = 1e-12
"""Squared lengths below this are no relation: where the teacher tells nothing apart, it teaches nothing."""


class RelationalTargets(Term):
    """``T² * (mean_b (1 - r(p_b, q_b)) + mean_k (1 - r(p_.k, q_.k)))`` with Pearson's ``r`` (the paper's eq. 6 to 9, weights 1).

    ``p`` and ``q`` are the probabilities ``(batch, labels)`` of teacher and student at temperature ``T``: the first mean compares
    labels within a record, the second records within a label. That is the batch's alone, and stands at every record, so a
    weighting of records with mean 1 leaves it as it is. Of two labels the first mean is a matter of sign, without a gradient, and in
    a batch of one record the second is 0.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, student: Features, teacher: Features | None, labels: Tensor) -> Tensor:
        """``(batch,)`` in 0..4 T²; both logits: ``(batch, labels)``. Labels are not looked at."""
        found, wanted = (softened(shown.logits, self.temperature).exp() for shown in (student, known(teacher)))
        return self.temperature**2 * (unrelated(found, wanted) + unrelated(found.t(), wanted.t()).mean())


def unrelated(found: Tensor, wanted: Tensor) -> Tensor:
    """``1 - r`` of each pair of rows of ``(rows, values)``: ``(rows,)``, in 0..2; 0 where ``wanted`` is constant."""
    one, other = (values - values.mean(dim=1, keepdim=True) for values in (found, wanted))
    squares = one.square().sum(dim=1), other.square().sum(dim=1)
    lengths = (squares[0].clamp_min(SMALLEST) * squares[1].clamp_min(SMALLEST)).sqrt()
    losses = (1 - (one * other).sum(dim=1) / lengths).clamp_min(0.0)
    return torch.where(squares[1] > SMALLEST, losses, torch.zeros_like(losses))
