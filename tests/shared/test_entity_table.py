"""Embeddings in 8 bits, as text that a plan can carry."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import ValidationError

from shared.entity_table import LIMIT, EntityTable, entity_table

VECTORS = np.array([[1.0, -0.5, 0.1], [0.0, 0.0, 0.0], [1e-30, 5e-31, 0.0]])


@given(some.integers(0, 10_000), some.floats(1e-6, 1e6))
def test_a_row_is_itself_up_to_half_a_step(seed: int, scale: float) -> None:
    vectors = np.random.default_rng(seed).normal(size=(5, 4)) * scale
    rows, steps = entity_table("kind", vectors).numbers()
    assert (np.abs(rows * steps[:, None] - vectors) <= 0.501 * steps[:, None]).all()
    assert np.abs(rows).max(axis=1).tolist() == [LIMIT] * 5


def test_it_travels_as_json_and_nothing_stays_nothing() -> None:
    made = entity_table("kind", VECTORS)
    again = EntityTable.parse(made.canonical())
    assert again == made
    assert made.size == 9 + 12
    rows, steps = again.numbers()
    assert not rows[1].any()
    assert steps[1] == 0.0
    assert rows[2, 0] == LIMIT, "a small row has steps of its own"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rows": "?"}, "no base64"),
        ({"rows": ""}, "do not fit"),
        ({"width": 4}, "do not fit"),
        ({"steps": base64.b64encode(np.array([np.nan, 1, 1], "<f4").tobytes()).decode()}, "negative or no number"),
        ({"steps": base64.b64encode(np.array([-1, 1, 1], "<f4").tobytes()).decode()}, "negative or no number"),
        ({"rows": "A" * 200_000}, "at most"),
    ],
)
def test_what_is_no_table_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        EntityTable.model_validate(entity_table("kind", VECTORS).model_dump() | changed)
