"""Quadratic weighted kappa against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.kappa import quadratic_weighted_kappa

GRADINGS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60)


def plain(labels: list[int], predicted: list[int], grades: int) -> float:
    """The definition, written out."""
    observed = np.zeros((grades, grades))
    for label, guess in zip(labels, predicted, strict=True):
        observed[label, guess] += 1
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0)) / len(labels)
    weights = np.subtract.outer(np.arange(grades), np.arange(grades)) ** 2
    return float(1 - (weights * observed).sum() / (weights * expected).sum())


@pytest.mark.parametrize(
    ("labels", "predicted", "kappa"),
    [
        ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4], 1.0),
        ([0, 0, 4, 4], [4, 4, 0, 0], -1.0),
        ([0, 0, 1, 1], [0, 1, 0, 1], 0.0),
        ([0, 1, 2, 3, 4], [0, 1, 2, 3, 3], 16 / 17),
        ([0, 1, 2], [2, 2, 2], 0.0),
        ([3, 3], [3, 3], 0.0),
    ],
)
def test_known_values(labels: list[int], predicted: list[int], kappa: float) -> None:
    assert quadratic_weighted_kappa(np.array(labels), np.array(predicted), 5) == pytest.approx(kappa)


@given(GRADINGS)
def test_equals_the_definition(pairs: list[tuple[int, int]]) -> None:
    labels, predicted = [a for a, _ in pairs], [b for _, b in pairs]
    found = quadratic_weighted_kappa(np.array(labels), np.array(predicted), 5)
    if len(set(labels)) > 1 and len(set(predicted)) > 1:
        assert found == pytest.approx(plain(labels, predicted, 5))
    else:
        assert found == 0.0


def test_refuses_what_is_no_grading() -> None:
    with pytest.raises(ValueError, match="0 labels"):
        quadratic_weighted_kappa(np.array([], int), np.array([], int), 5)
    with pytest.raises(ValueError, match="must lie in"):
        quadratic_weighted_kappa(np.array([5]), np.array([0]), 5)
