"""Which labels are left, and that nothing else of a subject changes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.few_shot import chosen, hidden, only, regression
from benchmarks.subjects import Subject, accuracy
from shared.config import FederationConfig
from shared.data.records import UNLABELLED, Split
from tests.support.networks import LARGE, SMALL, TABLE, records

CONFIG = FederationConfig(name="few", task=TABLE, teacher=LARGE, student=SMALL)
SUBJECT = Subject("few", CONFIG, Split(records(TABLE, 60), records(TABLE, 20, seed=1)), "accuracy", accuracy)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=50), st.integers(1, 6), st.integers(0, 99))
def test_as_many_of_each_label_as_there_are_up_to_the_shots(labels: list[int], shots: int, seed: int) -> None:
    rows = chosen(np.array(labels), shots, seed)
    assert len(set(rows.tolist())) == len(rows)
    for label in set(labels):
        assert (np.array(labels)[rows] == label).sum() == min(shots, labels.count(label))


def test_hidden_labels_stay_with_their_records() -> None:
    rows = chosen(SUBJECT.split.train.labels, 3, 1)
    found = hidden(SUBJECT, rows).split
    assert found.train.inputs is SUBJECT.split.train.inputs
    assert found.test is SUBJECT.split.test
    assert sorted(np.flatnonzero(found.train.labels != UNLABELLED)) == sorted(rows)
    assert (found.train.labels[rows] == SUBJECT.split.train.labels[rows]).all()


def test_alone_means_as_many_steps_on_the_labelled_records() -> None:
    rows = chosen(SUBJECT.split.train.labels, 3, 1)
    found = only(SUBJECT, rows)
    assert len(found.split.train) == len(rows) == 6
    assert found.config.training.epochs == SUBJECT.config.training.epochs * 10


def test_regression_learns_what_is_linear() -> None:
    states = np.random.default_rng(1).normal(size=(80, 3)).astype(np.float32)
    truth = (states[:, 0] > 0).astype(np.int64)
    assert regression(states[:60], truth[:60], states[60:], truth[60:]) > 0.8
