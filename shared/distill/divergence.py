"""How far one distribution over labels, or over tokens, is from another."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def divergence(found: Tensor, wanted: Tensor) -> Tensor:
    """``KL(wanted || found) = sum_k exp(wanted_k) (wanted_k - found_k)`` of log-probabilities ``(..., k)``: ``(...)``, at least 0.

    What is impossible in ``wanted`` (a log-probability of minus infinity) adds nothing; ``found`` is finite.
    """
    # Zero times any number is zero, but times infinity it is none.
    gap = wanted.clamp_min(torch.finfo(wanted.dtype).min) - found
    return (wanted.exp() * gap).sum(dim=-1)


def softened(logits: Tensor, temperature: float) -> Tensor:
    """``log softmax(logits / temperature)`` over the last dimension."""
    return functional.log_softmax(logits / temperature, dim=-1)
