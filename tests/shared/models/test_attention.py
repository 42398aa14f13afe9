"""Attention written out: torch's own as the reference, and nothing that must not be seen is."""

from __future__ import annotations

import torch
from torch.nn import functional

from shared.models.attention import attend

HEADS, WIDTH = 2, 8
JOINED = torch.randn(3, 5, 3 * WIDTH, generator=torch.Generator().manual_seed(2))


def test_it_is_scaled_dot_product_attention() -> None:
    query, key, value = (part.reshape(3, 5, HEADS, -1).transpose(1, 2) for part in JOINED.chunk(3, dim=-1))
    expected = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(3, 5, WIDTH)
    found, maps = attend(JOINED, HEADS)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(maps.sum(dim=-1), torch.ones(3, HEADS, 5))


def test_what_is_not_seen_has_no_weight_and_changes_nothing() -> None:
    seen = torch.ones(3, 1, 1, 5, dtype=torch.bool)
    seen[..., 4] = False
    other = JOINED.clone()
    other[:, 4] += 5.0
    (found, maps), (changed, _) = attend(JOINED, HEADS, seen), attend(other, HEADS, seen)
    assert not maps[..., 4].any()
    assert torch.equal(found[:, :4], changed[:, :4])
