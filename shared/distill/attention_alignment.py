"""The student should look where the teacher looks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from shared.distill.depth import attention_weight, layer_map
from shared.distill.term import Term, known
from shared.models.features import Features

SMALLEST = 1e-6
"""Probabilities are held above this: the logarithm of an attention that underflowed is no guide."""


class AttentionAlignment(Term):
    """``1/S * sum_l (1 - w_l) * D(A_m(l), a_l)`` over l = 1..S, with ``w_l`` and ``m`` of ``depth.py``.

    - maps ``(batch, heads, tokens, tokens)``, averaged over heads (numbers of heads may differ):
      ``D`` is the mean over batch and rows of KL(teacher's row || student's row), as in MiniLM (Wang et al. 2020)
    - maps ``(batch, tokens)`` of unit length: ``D`` is the mean over the batch of the squared distance
      (Zagoruyko & Komodakis 2017, eq. 2)

    Layers whose maps differ in tokens are left out.
    """

    def __init__(self, student: Features, teacher: Features, decay: float) -> None:
        """``student`` and ``teacher``: features of any record, for their shapes."""
        super().__init__()
        last = len(student.attentions)
        pairs = list(enumerate(layer_map(last, len(teacher.attentions))))[1:]
        self.terms = tuple(
            (layer - 1, other - 1, attention_weight(layer, last, decay) / last)
            for layer, other in pairs
            if _comparable(student.attentions[layer - 1], teacher.attentions[max(other, 1) - 1]) and other >= 1
        )

    def forward(self, student: Features, teacher: Features | None, labels: Tensor) -> Tensor:
        """Weighted over the layers that can be compared; 0 if there are none."""
        total = student.logits.new_zeros(())
        for layer, other, weight in self.terms:
            total = total + weight * distance(student.attentions[layer], known(teacher).attentions[other])
        return total


def distance(found: Tensor, wanted: Tensor) -> Tensor:
    """``D`` of :class:`AttentionAlignment`, a scalar."""
    if found.dim() == 2:
        return (found - wanted).square().sum(dim=1).mean()
    rows, targets = (torch.log(maps.mean(dim=1).clamp_min(SMALLEST)).flatten(0, 1) for maps in (found, wanted))
    return functional.kl_div(rows, targets, reduction="batchmean", log_target=True)


def _comparable(found: Tensor, wanted: Tensor) -> bool:
    return found.dim() == wanted.dim() and found.shape[-1] == wanted.shape[-1]
