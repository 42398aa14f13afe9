"""The student should look where the teacher looks."""

from __future__ import annotations

import torch
from torch import Tensor

from shared.distill.depth import Wanted, attention_weight, everything, pairing
from shared.distill.divergence import divergence
from shared.distill.masks import common_mask, same_tokens, token_mean
from shared.distill.term import Term, known
from shared.models.features import Features
from shared.settings import HiddenMap

SMALLEST = 1e-6
"""Probabilities are held above this: the logarithm of an attention that underflowed is no guide."""


class AttentionAlignment(Term):
    """``1/S * sum_l (1 - w_l) * D(A_m(l), a_l)`` over l = 1..S, with ``w_l`` and ``m`` of ``depth.py``.

    - maps ``(batch, heads, tokens, tokens)``, averaged over heads (numbers of heads may differ):
      ``D`` is the mean over batch and real rows of KL(teacher's row || student's row), as in MiniLM (Wang et al. 2020)
    - maps ``(batch, tokens)`` of unit length: ``D`` is the mean over the batch of the squared distance
      (Zagoruyko & Komodakis 2017, eq. 2)

    Layers whose maps differ in tokens are left out. A learned map of hidden states leaves attention at the even one.
    """

    def __init__(
        self, student: Features, teacher: Features, decay: float, *, wanted: Wanted | None = None, hidden_map: HiddenMap = "uniform"
    ) -> None:
        """``student`` and ``teacher``: features of any record, for their shapes, the teacher's as ``wanted`` (``None``: all its layers)."""
        super().__init__()
        places, last = (wanted or everything(teacher)).attentions, len(student.attentions)
        pairs = [(layer, places.index(place)) for layer, place in enumerate(pairing(last, places[-1], hidden_map)) if layer and place]
        self.terms = tuple(
            (layer - 1, other, attention_weight(layer, last, decay) / last)
            for layer, other in pairs
            if _comparable(student.attentions[layer - 1], teacher.attentions[other])
        )

    def forward(self, student: Features, teacher: Features | None, labels: Tensor) -> Tensor:
        """``(batch,)``: weighted over the layers that can be compared; 0 if there are none."""
        total = student.logits.new_zeros(len(student.logits))
        for layer, other, weight in self.terms:
            found, wanted = student.attentions[layer], known(teacher).attentions[other]
            if found.dim() == 4:
                same_tokens(found, wanted)
            total = total + weight * distance(found, wanted, common_mask(student, known(teacher), found.shape[-1]))
        return total


def distance(found: Tensor, wanted: Tensor, mask: Tensor | None = None) -> Tensor:
    """``D`` of :class:`AttentionAlignment`, each record's, ``(batch,)``; ``mask``: bool ``(batch, tokens)``, false for padding."""
    if found.dim() == 2:
        return (found - wanted).square().sum(dim=1)
    rows, targets = (torch.log(_real(maps.mean(dim=1), mask).clamp_min(SMALLEST)) for maps in (found, wanted))
    return token_mean(divergence(rows, targets), mask)


def _real(rows: Tensor, mask: Tensor | None) -> Tensor:
    # A model that looks at padding all the same is read as if it did not.
    if mask is None:
        return rows
    kept = rows.masked_fill(~mask.unsqueeze(1), 0.0)
    return kept / kept.sum(dim=-1, keepdim=True).clamp_min(SMALLEST)


def _comparable(found: Tensor, wanted: Tensor) -> bool:
    return found.dim() == wanted.dim() and found.shape[-1] == wanted.shape[-1]
