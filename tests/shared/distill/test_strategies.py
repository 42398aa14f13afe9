"""Classes, surfaces and structures are told apart by the right differences of hidden states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from shared.distill.heads import Heads
from shared.distill.hidden_alignment import HiddenAlignment
from shared.distill.masks import state_distance
from shared.distill.strategies import CONTRAST, LUMINANCE, Distances, grid_side, similarity, structure_distance, surface_distance
from shared.models.seeds import generator
from tests.support.heads import heads, labels, numbered
from tests.support.shown import gradients, padded, reordered, shown, some

THREE = Heads(heads("classes", "surface", "structure"), numbered(*range(8)))
BATCH = labels(0, 3, 7, 2, 4, 5)
FOUND, WANTED = some(6, 16, 4), some(6, 16, 4, seed=1)


def maps(states: Tensor) -> Tensor:
    return states.transpose(1, 2).reshape(len(states), 4, 4, 4)


def test_a_surface_by_hand() -> None:
    expected = (FOUND - WANTED).abs().mean(dim=(1, 2))
    torch.testing.assert_close(surface_distance(FOUND, WANTED, None), expected)


def test_similarity_by_hand() -> None:
    one, other = (maps(states).numpy() for states in (FOUND, WANTED))
    expected = []
    for channel in range(4):
        for row in range(2):
            for column in range(2):
                x, y = (values[0, channel, row : row + 3, column : column + 3] for values in (one, other))
                joint = ((x - x.mean()) * (y - y.mean())).mean()
                top = (2 * x.mean() * y.mean() + LUMINANCE) * (2 * joint + CONTRAST)
                expected.append(top / ((x.mean() ** 2 + y.mean() ** 2 + LUMINANCE) * (x.var() + y.var() + CONTRAST)))
    assert similarity(maps(FOUND), maps(WANTED))[0].item() == pytest.approx(np.mean(expected))


@given(st.integers(0, 2**32), st.floats(0, 100), st.sampled_from([4, 9, 16, 64, 65, 7, 1]))
def test_similarity_is_symmetric_within_one_and_one_where_equal(seed: int, scale: float, tokens: int) -> None:
    one, other = scale * some(2, tokens, 3, seed=seed), some(2, tokens, 3, seed=seed + 1)
    found = structure_distance(one, other, None)
    torch.testing.assert_close(found, structure_distance(other, one, None))
    extra = found - state_distance(one, other, None)
    assert (extra >= -1e-9).all()
    assert (extra <= 2.0 + 1e-9).all()
    torch.testing.assert_close(structure_distance(one, one, None), torch.zeros(2, dtype=torch.float64))


def test_a_moved_edge_is_farther_in_structure_than_a_lighter_map() -> None:
    edge = torch.zeros(1, 64, 1)
    edge.view(8, 8)[:, 4:] = 2.0
    moved, lighter = edge.view(8, 8).roll(2, dims=1).reshape(1, 64, 1), edge + 1.0
    assert state_distance(edge, lighter, None).item() == pytest.approx(1.0)
    structural = [(structure_distance(edge, one, None) - state_distance(edge, one, None)).item() for one in (moved, lighter)]
    assert structural[0] > 2 * structural[1]


@pytest.mark.parametrize(("tokens", "side"), [(1, 1), (2, 1), (4, 2), (5, 2), (7, 0), (16, 4), (17, 4), (64, 8), (65, 8), (66, 0)])
def test_a_grid_may_have_one_token_before_it(tokens: int, side: int) -> None:
    assert grid_side(tokens) == side


def test_a_sequence_or_padding_has_no_structure() -> None:
    mask = torch.ones(6, 16, dtype=torch.bool)
    assert torch.equal(structure_distance(FOUND, WANTED, mask), state_distance(FOUND, WANTED, mask))
    assert torch.equal(structure_distance(FOUND[:, :7], WANTED[:, :7], None), state_distance(FOUND[:, :7], WANTED[:, :7], None))
    assert torch.equal(Distances(THREE)(FOUND, WANTED, None, BATCH)[2], state_distance(FOUND, WANTED, None)[2])


def test_each_record_has_the_distance_of_its_head() -> None:
    found = Distances(THREE, grid=True)(FOUND, WANTED, None, labels(0, 3, 7, -1, 4, 5))
    own = [state_distance, surface_distance, structure_distance, state_distance, surface_distance, structure_distance]
    for row, distance in enumerate(own):
        torch.testing.assert_close(found[row], distance(FOUND, WANTED, None)[row])


def test_hidden_alignment_keeps_the_laws_of_terms() -> None:
    student, teacher = shown(layers=1, width=3, tokens=4, labels=8, batch=6), shown(layers=2, width=5, tokens=4, labels=8, batch=6, seed=20)
    term = HiddenAlignment(student, teacher, 0.5, generator(1, "p"), distances=Distances(THREE, grid=True)).double()
    reordered(term, student, teacher, BATCH)
    gradients(term, student, teacher, BATCH)
    flat = HiddenAlignment(student, teacher, 0.5, generator(1, "p"), distances=Distances(THREE)).double()
    torch.testing.assert_close(flat(padded(student, 2, seed=1), padded(teacher, 2, seed=2), BATCH), flat(student, teacher, BATCH))
