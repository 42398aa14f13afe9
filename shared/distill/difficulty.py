"""Hard records count more: what the teacher teaches is weighed by how unsure it, or the student, is of each record."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from shared.distill.term import UNLABELLED
from shared.models.features import Features

SMALLEST = 1e-6
"""Added to every difficulty, so that records of none at all still weigh something."""


def record_weights(
    student: Features, teacher: Features | None, labels: Tensor, source: Literal["teacher", "student"], power: float
) -> Tensor:
    """``w_b = u_b^power / mean(u^power)``: ``(batch,)`` without gradient, of mean 1, higher for harder records; all 1 at a ``power`` of 0.

    ``u`` is the teacher's entropy, or the student's hard-label loss relative to their mean in the batch (the modulation of the focal
    loss, Lin et al. 2017, section 3.2, turned to a mean of 1; entropies as weights: Kwon et al. 2020). A record without a label is of
    mean difficulty to the student; without a teacher's features all are equal.
    """
    if source == "student":
        found = _losses(student.logits.detach(), labels)
    elif teacher is not None:
        found = entropy(teacher.logits.detach())
    else:
        return torch.ones_like(student.logits.detach()[:, 0])
    relative = (found + SMALLEST) / (found + SMALLEST).mean()
    weights = relative**power
    return weights / weights.mean()


def entropy(logits: Tensor) -> Tensor:
    """``-sum_k p_k log p_k`` of ``(batch, labels)``: ``(batch,)``, at least 0."""
    logs = functional.log_softmax(logits, dim=-1)
    return -(logs.exp() * logs.clamp_min(torch.finfo(logs.dtype).min)).sum(dim=-1)


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    losses = functional.cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction="none")
    labelled = labels != UNLABELLED
    mean = losses.sum() / labelled.sum().clamp_min(1)
    return torch.where(labelled, losses, mean)
