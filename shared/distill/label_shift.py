"""Institutions that see other labels teach one student: each one's own label shares are taken out of its lessons.

A hospital with many ill patients makes every student of its own lean towards "ill", and the average of such students
leans every way at once. While it learns there, the student's logits get the offset ``s * (log p_local - log p_all)``;
what is left for its weights to learn is the evidence in the record, under the federation's shares. At a strength ``s`` of 1
the student answers as if all records had been in one place, where institutions differ in label shares alone (logit
adjustment: Menon et al. 2021, eq. 10; among institutions: Zhang et al. 2022, FedLC). A teacher leans as the labels that it
was fitted on, or less, where they were smoothed; its own mean answer says how much, and its targets are brought to lean
as the labels do. Where a record itself tells its institution, a strength of 0 may be better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from shared.distill.term import UNLABELLED
from shared.models.features import Features

SMOOTHING = 0.5
"""Records of each label that an institution is taken to have beyond its own: a label it never saw is rare, not impossible."""


def label_offset(labels: Tensor, shares: Sequence[float], strength: float) -> Tensor | None:
    """The offset float32 ``(labels,)`` for records with these ``labels`` (int64), or ``None`` where there is nothing to correct.

    ``shares``: the federation's, positive, one a label; empty while unknown. Only labelled records say what the shares are here.
    """
    if not strength or not shares or not (labels != UNLABELLED).any():
        return None
    offset = torch.log(_label_shares(labels, len(shares))) - torch.log(torch.tensor(shares, dtype=torch.float64))
    return (strength * offset).to(torch.float32)


def teacher_offset(labels: Tensor, answers: Tensor, strength: float) -> Tensor:
    """What is added to the teacher's logits, float32 ``(labels,)``, so that its mean answer is the label shares.

    ``answers``: its probabilities ``(records, labels)`` for the records with these ``labels``, of which some are labelled.
    """
    mean = answers[labels != UNLABELLED].to(torch.float64).mean(dim=0).clamp_min(torch.finfo(torch.float32).tiny)
    return (strength * (torch.log(_label_shares(labels, answers.shape[1])) - torch.log(mean))).to(torch.float32)


def _label_shares(labels: Tensor, count: int) -> Tensor:
    counts = torch.bincount(labels[labels != UNLABELLED], minlength=count).to(torch.float64) + SMOOTHING
    return counts / counts.sum()


def shifted(found: Features, offset: Tensor | None) -> Features:
    """The features with ``offset`` added to their logits ``(batch, labels)``."""
    return found if offset is None else replace(found, logits=found.logits + offset.to(found.logits.device))
