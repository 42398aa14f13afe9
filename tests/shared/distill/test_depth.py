"""Layer maps keep order and ends; depth weights are as the issue has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.distill.depth import attention_weight, hidden_weight, layer_map


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
