"""Columns become tokens: normalised inside, with explicit indicators for what is not known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shared.models.layers import initialise
from shared.models.seeds import generator
from shared.models.tokens import LARGEST, ColumnTokens
from shared.task import CategoricalColumn, NumericColumn, TabularTask
from shared.work import Normalisation
from tests.support.networks import TABLE, normalisation


@pytest.fixture
def tokens() -> ColumnTokens:
    made = ColumnTokens(TABLE, normalisation(TABLE), width=4)
    initialise(made, generator(1, "w"))
    return made


def test_tokens_by_hand(tokens: ColumnTokens) -> None:
    # Columns: age (mean 50, deviation 10), kind of three, dose (2, 0.5), side of two; numeric ones come first.
    found = tokens(torch.tensor([[60.0, 2.0, 1.0, 0.0]]))[0]
    expected = torch.stack(
        [
            1.0 * tokens.scale[0] + tokens.bias[0],
            -2.0 * tokens.scale[1] + tokens.bias[1],
            tokens.table[2] + tokens.bias[2],
            tokens.table[4] + tokens.bias[3],
        ]
    )
    torch.testing.assert_close(found, expected)


def test_what_is_not_known_has_a_token_of_its_own(tokens: ColumnTokens) -> None:
    found = tokens(torch.full((1, 4), float("nan")))[0]
    expected = torch.stack([tokens.missing[0], tokens.missing[1], tokens.table[3], tokens.table[6]]) + tokens.bias
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("category", [-1.0, 3.0, 1e9, float("inf")])
def test_a_category_beyond_the_task_counts_as_not_known(tokens: ColumnTokens, category: float) -> None:
    row = torch.tensor([[60.0, category, 1.0, 0.0]])
    torch.testing.assert_close(tokens(row)[0, 2], tokens.table[3] + tokens.bias[2])


def test_wild_values_are_clipped(tokens: ColumnTokens) -> None:
    found = tokens(torch.tensor([[1e30, 0.0, float("-inf"), 0.0]]))[0]
    torch.testing.assert_close(found[0], LARGEST * tokens.scale[0] + tokens.bias[0])
    torch.testing.assert_close(found[1], -LARGEST * tokens.scale[1] + tokens.bias[1])


def test_gradients_stay_finite_where_values_are_missing(tokens: ColumnTokens) -> None:
    tokens(torch.full((2, 4), float("nan"))).sum().backward()  # type: ignore[no-untyped-call]
    assert all(torch.isfinite(parameter.grad).all() for parameter in tokens.parameters() if parameter.grad is not None)


@pytest.mark.parametrize("kind", ["numeric", "categorical"])
def test_tables_of_one_kind(kind: str) -> None:
    column = NumericColumn(name="a") if kind == "numeric" else CategoricalColumn(kind="categorical", name="a", categories=("x",))
    task = TabularTask(family="tabular", label="y", labels=("n", "y"), columns=(column,))
    count = len(task.numeric)
    made = ColumnTokens(task, Normalisation(means=(0.0,) * count, deviations=(1.0,) * count), 4)
    initialise(made, generator(1, "w"))
    assert made(torch.from_numpy(np.zeros((3, 1), np.float32))).shape == (3, 1, 4)
