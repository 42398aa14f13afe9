"""Layer maps keep order and ends; depth weights are as the issue has them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.distill.depth import Wanted, attention_weight, everything, hidden_weight, layer_map, pairing, wanted
from shared.models.features import Features
from shared.settings import DistillationSettings, HiddenMap


@given(st.integers(1, 40), st.integers(1, 40))
def test_maps_keep_order_and_ends(student: int, teacher: int) -> None:
    found = layer_map(student, teacher)
    assert found[0] == 0
    assert found[-1] == teacher
    assert list(found) == sorted(found)
    assert all(abs(other - layer * teacher / student) <= 0.5 for layer, other in enumerate(found))


def test_maps_by_hand() -> None:
    assert layer_map(2, 4) == (0, 2, 4)
    assert layer_map(2, 3) == (0, 2, 3)
    assert layer_map(3, 3) == (0, 1, 2, 3)


def test_weights_by_hand() -> None:
    assert [hidden_weight(layer, 2, 0.25) for layer in range(3)] == [1.0, 0.5, 0.25]
    assert [attention_weight(layer, 2, 0.25) for layer in range(3)] == [0.0, 0.5, 0.75]


@given(st.integers(1, 20), st.floats(0.01, 1.0))
def test_hidden_falls_and_attention_rises(layers: int, decay: float) -> None:
    hidden = [hidden_weight(layer, layers, decay) for layer in range(layers + 1)]
    assert hidden == sorted(hidden, reverse=True)
    assert [1 - weight for weight in hidden] == pytest.approx([attention_weight(layer, layers, decay) for layer in range(layers + 1)])


# What a teacher must show


@given(st.integers(1, 12), st.integers(1, 24), st.sampled_from(["uniform", "last", "learned"]))
def test_pairings_are_in_order_and_end_at_the_end(student: int, teacher: int, kind: HiddenMap) -> None:
    found = pairing(student, teacher, kind)
    assert len(found) == student + 1
    assert (found[0], found[-1]) == (0, teacher)
    assert list(found) == sorted(found)


def test_the_last_layers_by_hand() -> None:
    assert pairing(2, 6, "last") == (0, 5, 6)
    assert pairing(3, 2, "last") == (0, 1, 1, 2)


@pytest.mark.parametrize(
    ("settings", "hidden", "attentions"),
    [
        ({}, (0, 3, 6), (3, 6)),
        ({"hidden_map": "last"}, (0, 5, 6), (5, 6)),
        ({"hidden_map": "learned"}, (0, 1, 2, 3, 4, 5, 6), (3, 6)),
        ({"hidden_weight": 0.0}, (), (3, 6)),
        ({"attention_weight": 0.0}, (0, 3, 6), ()),
        ({"hidden_weight": 0.0, "attention_weight": 0.0}, (), ()),
        ({"hidden_weight": 0.0, "attention_weight": 0.0, "embedding_weight": 1.0}, (0,), ()),
        ({"hidden_weight": 0.0, "attention_loss": "relations"}, (3, 6), ()),
        ({"attention_loss": "relations", "hidden_map": "last"}, (0, 5, 6), ()),
    ],
)
def test_only_what_is_needed_is_wanted(settings: dict[str, Any], hidden: tuple[int, ...], attentions: tuple[int, ...]) -> None:
    assert wanted(2, 6, DistillationSettings(**settings)) == Wanted(hidden, attentions)


def test_a_teacher_without_layers_is_asked_for_none() -> None:
    assert wanted(2, 0, DistillationSettings()) == Wanted()


def test_a_teacher_of_few_layers_shows_each_once() -> None:
    assert wanted(4, 1, DistillationSettings()) == Wanted((0, 1), (1,))
    shows = everything(Features(torch.zeros(1, 2), (torch.zeros(1, 1, 1),) * 3, (torch.zeros(1, 1),) * 2))
    assert shows == Wanted((0, 1, 2), (1, 2))
