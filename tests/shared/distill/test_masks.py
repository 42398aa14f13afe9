"""Means over real tokens are means as if the padding were not there."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.distill.masks import common_mask, mask_of, paired, pooled, state_distance, token_mean
from shared.models.features import Features
from tests.support.shown import padded, shown, some


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.integers(0, 1000))
def test_means_are_those_of_the_real_tokens(lengths: list[int], seed: int) -> None:
    values, states = some(len(lengths), 6, seed=seed), some(len(lengths), 6, 3, seed=seed)
    mask = torch.arange(6) < torch.tensor(lengths).unsqueeze(1)
    for row, length in enumerate(lengths):
        expected = values[row, :length].mean() if length else torch.zeros((), dtype=torch.float64)
        torch.testing.assert_close(token_mean(values, mask)[row], expected)
        whole = states[row, :length].mean(dim=0) if length else torch.zeros(3, dtype=torch.float64)
        torch.testing.assert_close(pooled(states, mask)[row, 0], whole)


def test_without_a_mask_all_tokens_are_real() -> None:
    values, everywhere = some(2, 4), torch.ones(2, 4, dtype=torch.bool)
    torch.testing.assert_close(token_mean(values, None), token_mean(values, everywhere))
    torch.testing.assert_close(pooled(some(2, 4, 3), None), pooled(some(2, 4, 3), everywhere))


def test_a_common_mask_has_what_both_have() -> None:
    one, other = torch.tensor([[True, True, False]]), torch.tensor([[True, False, True]])
    shown_by = [Features(torch.zeros(1, 2), mask=mask) for mask in (one, other, None)]
    found = common_mask(shown_by[0], shown_by[1], 3)
    assert found is not None
    assert found.tolist() == [[True, False, False]]
    assert common_mask(shown_by[2], shown_by[1], 3) is not None
    assert common_mask(shown_by[2], shown_by[2], 3) is None
    assert mask_of(shown_by[0], 9) is None  # states that are no longer tokens of the input


def test_states_of_other_lengths_are_averaged_over_their_own_tokens() -> None:
    student, teacher = shown(layers=1, width=4), shown(layers=1, width=4, tokens=7, seed=9)
    plain = paired(student, teacher, 1, 1)
    found = paired(padded(student, 4, seed=1), padded(teacher, 3, seed=2), 1, 1)
    torch.testing.assert_close(found[:2], plain[:2])
    assert found[2] is None
    assert plain[0].shape == (3, 1, 4)


def test_a_distance_by_hand() -> None:
    found, wanted = torch.tensor([[[1.0, 3.0], [0.0, 0.0]]]), torch.zeros(1, 2, 2)
    assert state_distance(found, wanted, None).tolist() == [2.5]
    assert state_distance(found, wanted, torch.tensor([[True, False]])).tolist() == [5.0]
