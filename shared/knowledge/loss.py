"""What a graph adds to the loss on the student's inside: terms over tensors, one number a record.

They need the graph's embeddings or answers while the student learns; the student itself keeps none of it. Shapes: ``B`` records, ``C``
classes, ``E`` entities, ``S`` the student's width, ``K`` that of the graph's embeddings.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

ABSENT = -1
"""Fills up a record's list of entities."""


class Projection(nn.Module):
    """Carries the student's representation ``(B, S)`` into the space of the graph ``(B, K)``. It is used in training alone."""

    def __init__(self, student_width: int, knowledge_width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(student_width, knowledge_width)

    def forward(self, representation: Tensor) -> Tensor:
        """``W h + b``."""
        projected: Tensor = self.linear(representation)
        return projected


def record_embeddings(entities: Tensor, members: Tensor) -> Tensor:
    """The mean embedding of the entities that each record names ``(B, K)``; zeros where it names none.

    ``entities``: ``(E, K)``; ``members``: int64 ``(B, most)``, indices, :data:`ABSENT` as filling.
    """
    there = (members != ABSENT).to(entities.dtype).unsqueeze(-1)
    named = functional.embedding(members.clamp(min=0), entities) * there
    return named.sum(dim=1) / there.sum(dim=1).clamp(min=1.0)


def prototype_logits(projected: Tensor, prototypes: Tensor, temperature: float = 0.1) -> Tensor:
    """``cos(projected, prototype_c) / temperature`` ``(B, C)``: the classes' entities as prototypes (Snell et al. 2017, eq. 2, with
    the cosine in place of the Euclidean distance, since embeddings of a graph differ in length by degree, not by meaning).

    ``projected``: ``(B, K)``; ``prototypes``: ``(C, K)``.
    """
    return functional.normalize(projected, dim=1) @ functional.normalize(prototypes, dim=1).T / temperature


def class_similarity(held: Tensor) -> Tensor:
    """How alike classes are ``(C, C)``, rows sum to 1: the share of findings that two have in common (Jaccard 1901), without themselves;
    even where a class shares with none. ``held``: bool ``(C, findings)``, which finding the graph ties to which class.
    """
    flags = held.to(torch.float32)
    common = flags @ flags.T
    counts = flags.sum(dim=1)
    either = counts.unsqueeze(0) + counts.unsqueeze(1) - common
    alike = (common / either.clamp(min=1.0)).fill_diagonal_(0.0)
    total = alike.sum(dim=1, keepdim=True)
    even = torch.full_like(alike, 1.0 / max(len(alike) - 1, 1)).fill_diagonal_(0.0)
    return torch.where(total > 0, alike / total.clamp(min=torch.finfo(alike.dtype).tiny), even)
