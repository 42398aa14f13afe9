"""The part of the loss that holds the student's representation to a graph's embeddings: records, class prototypes, softened labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from shared.data.records import UNLABELLED
from shared.errors import CheckpointError
from shared.knowledge.loss import Projection, contrastive_distance, cosine_distance, prototype_logits
from shared.models.features import Features
from shared.models.seeds import generator
from shared.settings import EmbeddingTerms

PREFIX = "knowledge."


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


class KnowledgeAlignment(nn.Module):
    """``trust · (w_r d(P h, e) + w_p CE(cos(P h, prototypes) / t, y) + w_s CE(student, similarity[y]))`` for each record.

    ``h`` is the mean of the student's last hidden states over real tokens, ``P`` a learnt projection that stays at the institution, ``e``
    the record's embedding; ``d`` and the prototypes are those of :mod:`shared.knowledge.loss`. The last two need a label.
    """

    def __init__(self, known: Known, student_width: int, seed: int) -> None:
        super().__init__()
        self._terms, self._trust = known.terms, known.trust
        self.project = Projection(student_width, known.prototypes.shape[1])
        with torch.no_grad():
            nn.init.normal_(self.project.linear.weight, std=student_width**-0.5, generator=generator(seed, "knowledge"))
            nn.init.zeros_(self.project.linear.bias)
        for name, values in (("records", known.records), ("prototypes", known.prototypes), ("similarity", known.similarity)):
            self.register_buffer(name, torch.from_numpy(values), persistent=False)
        kinds = np.unique(known.records, axis=0, return_inverse=True)[1].reshape(-1)
        self.register_buffer("kinds", torch.from_numpy(kinds.astype(np.int64)), persistent=False)

    def forward(self, found: Features, rows: Tensor, labels: Tensor) -> Tensor:
        """``(batch,)`` for the student's features of the records at ``rows`` with these ``labels``."""
        terms, losses = self._terms, found.logits.new_zeros(len(labels))
        projected = self.project(representation(found))
        if terms.record_weight:
            losses = losses + terms.record_weight * self._of_records(projected, rows.to(projected.device))
        if terms.prototype_weight:
            losses = losses + terms.prototype_weight * self._of_label(prototype_logits(projected, self.get_buffer("prototypes")), labels)
        if terms.smoothing:
            losses = losses + terms.smoothing * self._softened(found.logits, labels)
        return self._trust * losses

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

    def _of_records(self, projected: Tensor, rows: Tensor) -> Tensor:
        own = self.get_buffer("records").index_select(0, rows)
        if self._terms.record_loss == "cosine":
            return cosine_distance(projected, own)
        return contrastive_distance(projected, own, kinds=self.get_buffer("kinds").index_select(0, rows))

    def _of_label(self, logits: Tensor, labels: Tensor) -> Tensor:
        # A class without an entity has no prototype: its records are nobody's neighbours, and it is no alternative.
        there = (self.get_buffer("prototypes") != 0).any(dim=1)
        told = (labels != UNLABELLED) & there[labels.clamp(min=0)]
        masked = logits.masked_fill(~there, torch.finfo(logits.dtype).min)
        lost = functional.cross_entropy(masked, labels.clamp(min=0), reduction="none")
        return torch.where(told, lost, torch.zeros_like(lost))

    def _softened(self, logits: Tensor, labels: Tensor) -> Tensor:
        targets = self.get_buffer("similarity")[labels.clamp(min=0)]
        lost = -(targets * functional.log_softmax(logits, dim=1)).sum(dim=1)
        return torch.where(labels != UNLABELLED, lost, torch.zeros_like(lost))


def representation(found: Features) -> Tensor:
    """The mean of the last hidden states over real tokens ``(batch, width)``."""
    states = found.hidden_states[-1]
    if found.mask is None:
        return states.mean(dim=1)
    real = found.mask.to(states.dtype).unsqueeze(-1)
    return (states * real).sum(dim=1) / real.sum(dim=1).clamp(min=1.0)


def without_knowledge(alignment: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The part of an alignment that is not a projection into a graph."""
    return {name: tensor for name, tensor in alignment.items() if not name.startswith(PREFIX)}
