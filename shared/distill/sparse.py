"""A few of the teacher's largest logits in place of all: small to keep where there are thousands of labels."""

from __future__ import annotations

import torch
from torch import Tensor


def largest(logits: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """``logits`` ``(batch, labels)`` -> the ``count`` largest, their labels int64 ``(batch, count)``, and the rest ``(batch, 1)``.

    ``rest = log sum exp`` of the logits left out: the weight that all of them have together. ``0 < count < labels``.
    """
    values, labels = logits.topk(count, dim=1)
    others = logits.scatter(1, labels, -torch.inf)
    return values, labels, others.logsumexp(dim=1, keepdim=True)


def spread(values: Tensor, labels: Tensor, rest: Tensor, width: int) -> Tensor:
    """Logits ``(batch, width)``: the kept ones as they were, each other label ``rest - log(width - count)``.

    The others share their probability mass evenly, so at temperature 1 every kept label has the probability that the teacher
    gave it. At a higher temperature T the rest is heavier than the teacher's was, since ``mean(p^(1/T)) <= mean(p)^(1/T)``.
    No other label's logit is above the smallest kept one: the order of the kept ones stays.
    """
    count = values.shape[1]
    even = rest - torch.log(torch.tensor(float(width - count)))
    return torch.minimum(even, values.min(dim=1, keepdim=True).values).expand(-1, width).scatter(1, labels, values)
