"""The student's tokens should resemble each other as the teacher's do, whatever heads the two have."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from shared.distill.depth import Wanted, attention_weight, everything, pairing
from shared.distill.divergence import divergence
from shared.distill.masks import common_mask, same_tokens, token_mean
from shared.distill.term import Term, known
from shared.models.features import Features
from shared.settings import HiddenMap

RELATION_HEADS = 4
"""Parts that states are cut into, each with relations of its own; fewer where the two widths have no such divisor in common."""


class RelationAlignment(Term):
    """``1/S * sum_l (1 - w_l) * mean KL(R(H_m(l)) || R(h_l))`` over l = 1..S, with ``w_l`` and ``m`` of ``depth.py``.

    ``R(h)``, ``(batch, relation heads, tokens, tokens)``: states ``(batch, tokens, width)`` are normalised by token and cut into
    heads of ``d`` numbers, and each head's ``softmax(h h^T / sqrt(d))`` has a row for each token. This is the self-attention relation of
    MiniLMv2 (Wang et al. 2021, section 3.1) of hidden states instead of queries, keys and values, which few models show. The mean
    is over relation heads and real rows; padding is no column either. Layers whose states differ in tokens are left out.
    """

    def __init__(
        self, student: Features, teacher: Features, decay: float, *, wanted: Wanted | None = None, hidden_map: HiddenMap = "uniform"
    ) -> None:
        """``student`` and ``teacher``: features of any record, for their shapes, the teacher's as ``wanted`` (``None``: all its layers)."""
        super().__init__()
        places, last = (wanted or everything(teacher)).hidden, len(student.hidden_states) - 1
        pairs = [(layer, places.index(place)) for layer, place in enumerate(pairing(last, places[-1], hidden_map)) if layer and place]
        self.terms = tuple(
            (layer, other, attention_weight(layer, last, decay) / last)
            for layer, other in pairs
            if student.hidden_states[layer].shape[1] == teacher.hidden_states[other].shape[1]
        )

    def forward(self, student: Features, teacher: Features | None, labels: Tensor) -> Tensor:
        """``(batch,)``: weighted over the layers that can be compared; 0 if there are none."""
        total = student.logits.new_zeros(len(student.logits))
        for layer, other, weight in self.terms:
            state, target = student.hidden_states[layer], known(teacher).hidden_states[other]
            same_tokens(state, target)
            mask, heads = common_mask(student, known(teacher), state.shape[1]), relation_heads(state.shape[-1], target.shape[-1])
            rows = divergence(relations(state, heads, mask), relations(target, heads, mask)).mean(dim=1)
            total = total + weight * token_mean(rows, mask)
        return total


def relation_heads(one: int, other: int) -> int:
    """The largest number up to :data:`RELATION_HEADS` that divides both widths."""
    return max(heads for heads in range(1, RELATION_HEADS + 1) if math.gcd(one, other) % heads == 0)


def relations(states: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """``log R``: ``(batch, tokens, width)`` -> ``(batch, heads, tokens, tokens)``, the lowest number at padding."""
    batch, tokens, width = states.shape
    parts = functional.layer_norm(states, (width,)).reshape(batch, tokens, heads, width // heads).transpose(1, 2)
    scores = parts @ parts.transpose(-1, -2) * (width // heads) ** -0.5
    if mask is not None:
        # A record without any real token keeps its columns: it has no real rows either, and no NaN.
        scores = scores.masked_fill((~mask & mask.any(dim=1, keepdim=True))[:, None, None, :], torch.finfo(scores.dtype).min)
    return torch.log_softmax(scores, dim=-1)
