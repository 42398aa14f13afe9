"""The plain twins of ``shared/knowledge/pull.py``: the same losses by their formulas, with the gradients that torch finds."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def cosine_distance(projected: Tensor, knowledge: Tensor) -> Tensor:
    """``1 - cos(projected, knowledge)`` ``(B,)``, 0 where a record names no entity; both ``(B, K)``."""
    distance = 1.0 - functional.cosine_similarity(projected, knowledge, dim=1)
    return torch.where(_named(knowledge), distance, torch.zeros_like(distance))


def contrastive_distance(projected: Tensor, knowledge: Tensor, temperature: float = 0.1) -> Tensor:
    """InfoNCE ``(B,)``, both ``(B, K)``; records of equal knowledge, and those without any, are no negatives."""
    own, others = functional.normalize(projected, dim=1), functional.normalize(knowledge, dim=1)
    similarity = own @ others.T / temperature
    same = (knowledge.unsqueeze(0) == knowledge.unsqueeze(1)).all(dim=2)
    named = _named(knowledge)
    itself = torch.eye(len(knowledge), dtype=torch.bool, device=knowledge.device)
    left_out = (same | ~named.unsqueeze(0)) & ~itself
    distance = -functional.log_softmax(similarity.masked_fill(left_out, -torch.inf), dim=1).diagonal()
    return torch.where(named, distance, torch.zeros_like(distance))


def _named(knowledge: Tensor) -> Tensor:
    return (knowledge != 0).any(dim=1)
