"""Institutions that see other labels teach one student: each one's own label shares are taken out of its lessons.

A hospital with many ill patients makes every student of its own lean towards "ill", and the average of such students
leans every way at once. While it learns there, the student's logits get the offset ``s * (log p_local - log p_all)``;
what is left for its weights to learn is the evidence in the record, under the federation's shares. At a strength ``s`` of 1
the student answers as if all records had been in one place, where institutions differ in label shares alone (logit
adjustment: Menon et al. 2021, eq. 10; among institutions: Zhang et al. 2022, FedLC). A teacher of the same institution
leans as its labels do, so the same offset holds for soft targets. Where a record itself tells its institution, 0 may be better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from shared.models.features import Features

SMOOTHING = 0.5
"""Records of each label that an institution is taken to have beyond its own: a label it never saw is rare, not impossible."""


def label_offset(labels: Tensor, shares: Sequence[float], strength: float) -> Tensor | None:
    """The offset float32 ``(labels,)`` for records with these ``labels`` (int64), or ``None`` where there is nothing to correct.

    ``shares``: the federation's, positive, one a label; empty while unknown.
    """
    if not strength or not shares:
        return None
    counts = torch.bincount(labels, minlength=len(shares)).to(torch.float64) + SMOOTHING
    offset = torch.log(counts / counts.sum()) - torch.log(torch.tensor(shares, dtype=torch.float64))
    return (strength * offset).to(torch.float32)


def shifted(found: Features, offset: Tensor | None) -> Features:
    """The features with ``offset`` added to their logits ``(batch, labels)``."""
    return found if offset is None else replace(found, logits=found.logits + offset)
