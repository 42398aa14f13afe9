"""Answers stay within heads, and figures of heads are figures of their blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from shared.heads import answers, confined, figures, heads_of, spans
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
