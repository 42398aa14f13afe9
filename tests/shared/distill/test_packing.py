"""Packing loses only precision; padding is cut or filled up without touching a real token."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.distill.packing import LARGEST, layout_of, packed, unpacked
from shared.models.features import Features


def made(batch: int, tokens: int, lengths: list[int], *, cells: bool = False, seed: int = 0) -> Features:
    rng = torch.Generator().manual_seed(seed)
    mask = torch.arange(tokens) < torch.tensor(lengths)[:, None]
    states = tuple(torch.randn(batch, tokens, 4, generator=rng) for _ in range(3))
    shape = (batch, tokens) if cells else (batch, 2, tokens, tokens)
    maps = tuple(torch.randn(shape, generator=rng).softmax(dim=-1) for _ in range(2))
    return Features(torch.randn(batch, 5, generator=rng), states, maps, mask)


@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), st.integers(0, 4), st.booleans(), st.integers(7, 10))
def test_real_tokens_come_back(lengths: list[int], top_k: int, cells: bool, longest: int) -> None:
    found = made(len(lengths), 7, lengths, cells=cells)
    layout = layout_of(found, top_k, longest)
    arrays = packed(found, layout)
    assert sum(array[0].nbytes for array in arrays.values()) == layout.bytes
    again = unpacked(arrays, layout)
    assert found.mask is not None
    assert again.mask is not None
    assert again.mask.shape == (len(lengths), longest)
    assert again.mask.sum(dim=1).tolist() == lengths
    for one, other in zip(again.hidden_states, found.hidden_states, strict=True):
        torch.testing.assert_close(one[again.mask], other[found.mask], rtol=2e-3, atol=2e-3)
    for one, other in zip(again.attentions, found.attentions, strict=True):
        part = one[:, :7] if cells else one[:, :, :7, :7]
        torch.testing.assert_close(part, other if cells else other.mean(dim=1, keepdim=True), rtol=2e-3, atol=2e-3)
    torch.testing.assert_close(again.logits.max(dim=1).values, found.logits.max(dim=1).values, rtol=2e-3, atol=2e-3)


def test_padding_beyond_the_longest_is_cut_and_a_later_batch_may_be_shorter() -> None:
    layout = layout_of(made(1, 9, [4]), 0, 4)
    whole, short = unpacked(packed(made(2, 9, [4, 2]), layout), layout), unpacked(packed(made(2, 3, [3, 2]), layout), layout)
    assert whole.hidden_states[0].shape == short.hidden_states[0].shape == (2, 4, 4)
    assert whole.attentions[0].shape == short.attentions[0].shape == (2, 1, 4, 4)
    assert short.mask is not None
    assert short.mask.sum(dim=1).tolist() == [3, 2]


def test_figures_beyond_half_precision_are_cut_not_infinite() -> None:
    found = Features(torch.tensor([[1e30, -1e30]]))
    layout = layout_of(found, 0, 0)
    assert unpacked(packed(found, layout), layout).logits.tolist() == [[LARGEST, -LARGEST]]
