"""Answers stay within heads, and figures of heads are figures of their blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from shared.heads import answers, balanced, confined, figures, heads_of, spans
from tests.support.heads import HEADS, numbered

LOGITS = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)


def test_heads_lie_one_after_the_other() -> None:
    assert spans(HEADS) == (slice(0, 3), slice(3, 5), slice(5, 8))
    assert heads_of(HEADS).tolist() == [0, 0, 0, 1, 1, 2, 2, 2]


@given(st.integers(0, 2**32), st.lists(st.integers(-1, 7), min_size=1, max_size=20))
def test_an_answer_is_that_of_its_head_alone(seed: int, labels: list[int]) -> None:
    logits = np.random.default_rng(seed).normal(size=(len(labels), 8)).astype(np.float32)
    found = answers(logits, numbered(*labels), HEADS)
    for row, label in enumerate(labels):
        span = slice(0, 8) if label < 0 else spans(HEADS)[heads_of(HEADS)[label]]
        assert found[row] == span.start + logits[row, span].argmax()


def test_without_heads_nothing_is_confined() -> None:
    labels = numbered(*range(8), *range(8), *range(8), *range(8), *range(8))
    assert confined(LOGITS, labels, ()) is LOGITS
    assert (answers(LOGITS, labels, ()) == LOGITS.argmax(axis=1)).all()


def test_figures_by_head_add_up_to_the_task_s() -> None:
    truth = np.random.default_rng(1).integers(0, 8, 40)
    predicted = answers(LOGITS, truth, HEADS)
    confusion = np.bincount(truth * 8 + predicted, minlength=64).reshape(8, 8)
    found = figures(confusion, HEADS)
    assert list(found) == ["abc", "xy", "pqr"]
    assert sum(one.records * one.accuracy for one in found.values()) == pytest.approx((predicted == truth).sum())
    own = np.isin(truth, [3, 4])
    assert found["xy"].macro_f1 == pytest.approx(f1_score(truth[own], predicted[own], average="macro"))
    assert figures(0 * confusion, HEADS)["abc"].records == 0


@given(st.lists(st.tuples(st.integers(1, 500), st.sets(st.integers(0, 2), min_size=1)), min_size=1, max_size=6), st.integers(0, 2**32))
def test_outputs_are_averaged_over_those_who_have_the_head(sites: list[tuple[int, set[int]]], seed: int) -> None:
    ranges = [[(0, 2), (6, 7)], [(2, 3), (7, 8)], [(3, 5), (8, 9)]]
    updates = np.random.default_rng(seed).normal(size=(len(sites), 11))
    for update, (_, own) in zip(updates, sites, strict=True):
        for head in {0, 1, 2} - own:
            for start, stop in ranges[head]:
                update[start:stop] = 0.0
    weights = np.array([weight for weight, _ in sites])
    by_head = np.array([sum(weight for weight, own in sites if head in own) for head in range(3)])
    mean = np.average(updates, axis=0, weights=weights)
    found = balanced(mean, int(weights.sum()), by_head, ranges)
    for head in range(3):
        have = [place for place, (_, own) in enumerate(sites) if head in own]
        for start, stop in ranges[head]:
            expected = np.average(updates[have, start:stop], axis=0, weights=weights[have]) if have else mean[start:stop]
            np.testing.assert_allclose(found[start:stop], expected, atol=1e-12)
    assert (found[[5, 9, 10]] == mean[[5, 9, 10]]).all()
