"""The part of the loss that holds the student's representation to a graph's embeddings: records, class prototypes, softened labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from shared.data.records import UNLABELLED
from shared.errors import CheckpointError
from shared.knowledge.loss import Projection
from shared.knowledge.pull import UNNAMED, Pull, contrastive, cosine, held_to, prototypes
from shared.models.features import Features
from shared.models.seeds import generator
from shared.settings import EmbeddingTerms

PREFIX = "knowledge."
TEMPERATURE = 0.1
"""Of the contrastive distance and the prototypes."""


@dataclass(frozen=True)
class Known:
    """What a graph knows of a fit's records: ``records`` float32 ``(records, K)``, the mean embedding of the entities that each names,
    zeros for none; ``prototypes`` ``(C, K)`` of the classes, zeros for one without an entity; ``similarity`` ``(C, C)`` of the classes,
    rows sum to 1; all weighed by ``trust`` and the ``terms``.
    """

    records: NDArray[np.float32]
    prototypes: NDArray[np.float32]
    similarity: NDArray[np.float32]
    terms: EmbeddingTerms
    trust: float = 1.0

    @cached_property
    def units(self) -> NDArray[np.float32]:
        """``records`` at length 1, zeros as they are."""
        return _units(self.records)

    @cached_property
    def kinds(self) -> NDArray[np.int64]:
        """A number for each record ``(records,)``, equal where their embeddings are; :data:`UNNAMED` where these are zeros."""
        # Compared as bytes, which costs a sixth; adding nothing makes of a negative zero a positive one.
        rows = np.ascontiguousarray(self.records + np.float32(0.0))
        whole = rows.view(np.dtype((np.void, rows.shape[1] * rows.itemsize))).reshape(-1)
        kinds = np.unique(whole, return_inverse=True)[1].reshape(-1).astype(np.int64)
        return np.where(rows.any(axis=1), kinds, UNNAMED)


class KnowledgeAlignment(nn.Module):
    """``trust · (w_r d(P h, e) + w_p CE(cos(P h, prototypes) / t, y) + w_s CE(student, similarity[y]))``, the mean over records.

    ``h`` is the mean of the student's last hidden states over real tokens, ``P`` a learnt projection that stays at the institution, ``e``
    the record's embedding; ``d`` and the prototypes are those of :mod:`shared.knowledge.pull`. The last two need a label.
    """

    records: Tensor
    kinds: Tensor
    record_weights: Tensor
    prototypes: Tensor
    class_weights: Tensor
    absent: Tensor
    similarity: Tensor

    def __init__(self, known: Known, student_width: int, seed: int) -> None:
        super().__init__()
        self._terms, self._trust = known.terms, known.trust
        self.project = Projection(student_width, known.prototypes.shape[1])
        with torch.no_grad():
            nn.init.normal_(self.project.linear.weight, std=student_width**-0.5, generator=generator(seed, "knowledge"))
            nn.init.zeros_(self.project.linear.bias)
        sharp = 1.0 if known.terms.record_loss == "cosine" else TEMPERATURE
        there = (known.prototypes != 0).any(axis=1)
        self._hold("records", known.units / np.float32(sharp))
        self._hold("kinds", known.kinds)
        self._some_alike = UNNAMED in known.kinds or len(np.unique(known.kinds)) < len(known.kinds)
        self._hold("record_weights", (self._trust * known.terms.record_weight * (known.kinds != UNNAMED)).astype(np.float32))
        self._hold("prototypes", np.append(_units(known.prototypes) / np.float32(TEMPERATURE), np.zeros_like(known.prototypes[:1]), axis=0))
        self._hold("absent", np.logical_not(there))
        self._some_absent = not there.all()
        self._hold("class_weights", (self._trust * known.terms.prototype_weight * np.append(there, False)).astype(np.float32))
        self._hold("similarity", known.similarity)

    def forward(self, found: Features, rows: Tensor, labels: Tensor) -> Tensor:
        """A scalar: the mean over the student's features of the records at ``rows`` with these ``labels``."""
        terms, losses = self._terms, list[Tensor]()
        if terms.record_weight or terms.prototype_weight:
            linear, rows = self.project.linear, rows.to(labels.device)
            losses.append(held_to(representation(found), linear.weight, linear.bias, lambda units: self._pull(units, rows, labels)))
        if terms.smoothing:
            losses.append(self._trust * terms.smoothing * self._softened(found.logits, labels).mean())
        return sum(losses, start=found.logits.new_zeros(())) if len(losses) != 1 else losses[0]

    def kept(self) -> dict[str, Tensor]:
        """The projection, under names that no term of the objective has."""
        return {PREFIX + name: tensor.detach().cpu().clone() for name, tensor in self.state_dict().items()}

    def go_on(self, alignment: Mapping[str, Tensor]) -> None:
        """Takes over the projection of an earlier round, if there is one. Raises :class:`CheckpointError` for one of another shape."""
        found = {name.removeprefix(PREFIX): tensor for name, tensor in alignment.items() if name.startswith(PREFIX)}
        if not found:
            return
        try:
            self.load_state_dict(found)
        except RuntimeError as error:
            raise CheckpointError("the projection kept from the last round is of another shape; remove the alignment files") from error

    def _hold(self, name: str, values: NDArray[Any]) -> None:
        self.register_buffer(name, torch.from_numpy(values), persistent=False)

    def _pull(self, units: Tensor, rows: Tensor, labels: Tensor) -> Pull:
        parts = [self._to_records(units, rows)] if self._terms.record_weight else []
        if self._terms.prototype_weight:
            parts.append(prototypes(units, self.prototypes, labels, self.class_weights, self.absent if self._some_absent else None))
        return parts[0] + parts[1] if len(parts) == 2 else parts[0]

    def _to_records(self, units: Tensor, rows: Tensor) -> Pull:
        own, weights = self.records.index_select(0, rows), self.record_weights.index_select(0, rows)
        if self._terms.record_loss == "cosine":
            return cosine(units, own, weights)
        return contrastive(units, own, weights, self.kinds.index_select(0, rows) if self._some_alike else None)

    def _softened(self, logits: Tensor, labels: Tensor) -> Tensor:
        targets = self.similarity[labels.clamp(min=0)]
        lost = -(targets * functional.log_softmax(logits, dim=1)).sum(dim=1)
        return torch.where(labels != UNLABELLED, lost, torch.zeros_like(lost))


def _units(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: NDArray[np.float32] = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return found


def representation(found: Features) -> Tensor:
    """The mean of the last hidden states over real tokens ``(batch, width)``."""
    states = found.hidden_states[-1]
    if found.mask is None:
        return states.squeeze(1) if states.shape[1] == 1 else states.mean(dim=1)
    real = found.mask.to(states.dtype).unsqueeze(-1)
    return (states * real).sum(dim=1) / real.sum(dim=1).clamp(min=1.0)


def without_knowledge(alignment: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The part of an alignment that is not a projection into a graph."""
    return {name: tensor for name, tensor in alignment.items() if not name.startswith(PREFIX)}
