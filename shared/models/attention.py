"""Scaled dot-product attention, written out, for its maps are wanted and all families share it."""

from __future__ import annotations

import torch
from torch import Tensor

HIDDEN = -1e4
"""Score of what must not be looked at: its probability is exactly 0 in float32, and no row can become NaN."""


def attend(query_key_value: Tensor, heads: int, seen: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """``softmax(Q K^T / sqrt(d)) V`` for each head (Vaswani et al. 2017, eq. 1).

    ``query_key_value``: ``(batch, tokens, 3 * width)``, ``width`` that of all heads together; ``seen``: bool, broadcast to
    ``(batch, heads, tokens, tokens)``, false where a row must not look. Gives back ``(batch, tokens, width)``, the heads side
    by side, and the maps ``(batch, heads, tokens, tokens)``, whose rows are distributions.
    """
    batch, tokens, joined = query_key_value.shape
    width = joined // 3
    split = query_key_value.reshape(batch, tokens, 3, heads, width // heads)
    query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
    scores = query @ key.transpose(-1, -2) * (width // heads) ** -0.5
    if seen is not None:
        scores = torch.where(seen, scores, torch.full((), HIDDEN))
    attention = torch.softmax(scores, dim=-1)
    return (attention @ value).transpose(1, 2).reshape(batch, tokens, width), attention
