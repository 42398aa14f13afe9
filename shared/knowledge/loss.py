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


def cosine_distance(projected: Tensor, knowledge: Tensor) -> Tensor:
    """``1 - cos(projected, knowledge)`` ``(B,)``, 0 where a record names no entity; both ``(B, K)``."""
    distance = 1.0 - functional.cosine_similarity(projected, knowledge, dim=1)
    return torch.where(_named(knowledge), distance, torch.zeros_like(distance))


def contrastive_distance(projected: Tensor, knowledge: Tensor, temperature: float = 0.1, kinds: Tensor | None = None) -> Tensor:
    """InfoNCE ``(B,)``: a record's representation must find its own knowledge among those of the batch; both ``(B, K)``.

    ``-log( exp(cos(p_i, k_i)/t) / sum_j exp(cos(p_i, k_j)/t) )`` (van den Oord et al. 2018, eq. 4), j over the record itself and those
    of the batch whose knowledge differs: two records that name the same entities are no negatives of each other. A record that names
    no entity has 0, and is nobody's negative. It is at most ``log B + 2/t``. ``kinds`` int64 ``(B,)``, if known, are equal where knowledge
    is: comparing them costs less.
    """
    own, others = functional.normalize(projected, dim=1), functional.normalize(knowledge, dim=1)
    similarity = own @ others.T / temperature
    same = (knowledge.unsqueeze(0) == knowledge.unsqueeze(1)).all(dim=2) if kinds is None else kinds.unsqueeze(0) == kinds.unsqueeze(1)
    named = _named(knowledge)
    itself = torch.eye(len(knowledge), dtype=torch.bool, device=knowledge.device)
    left_out = (same | ~named.unsqueeze(0)) & ~itself
    distance = -functional.log_softmax(similarity.masked_fill(left_out, -torch.inf), dim=1).diagonal()
    return torch.where(named, distance, torch.zeros_like(distance))


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


def _named(knowledge: Tensor) -> Tensor:
    return (knowledge != 0).any(dim=1)
