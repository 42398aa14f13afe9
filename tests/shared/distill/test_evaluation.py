"""Figures that add up: evaluations of parts are the evaluation of the whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch import Tensor, nn

from shared.data.records import Records
from shared.distill import evaluate
from shared.distill.evaluation import LARGEST_LOSS, score
from shared.heads import heads_of
from tests.support.heads import HEADS, TABLES
from tests.support.heads import records as headed
from tests.support.networks import TABLE, network, records


class Says(nn.Module):
    """Gives its inputs back as logits."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs


def test_by_hand() -> None:
    logits = np.log(np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]], np.float32))
    found = evaluate(Says(), Records(logits, np.array([0, 1, 1])), 2)
    assert found.records == 3
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.confusion.tolist() == [[1, 0], [1, 1]]
    assert found.loss == pytest.approx(-np.log([0.9, 0.6, 0.2]).mean(), rel=1e-5)


def test_parts_add_up_to_the_whole() -> None:
    model, whole = network(), records(TABLE, 50)
    parts = [evaluate(model, whole.take(rows), 2) for rows in np.array_split(np.arange(50), 3)]
    found = evaluate(model, whole, 2)
    assert (sum(part.confusion for part in parts) == found.confusion).all()
    assert sum(part.loss * part.records for part in parts) == pytest.approx(found.loss * found.records)


def test_no_records_give_no_figures() -> None:
    found = evaluate(network(), records(TABLE, 5).take(np.array([], np.int64)), 2)
    assert (found.records, found.loss, found.accuracy) == (0, 0.0, 0.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_record_cannot_overflow_a_counter(value: float) -> None:
    found = evaluate(Says(), Records(np.array([[value, 0.0]], np.float32), np.array([1])), 2)
    assert 0 <= found.loss <= LARGEST_LOSS


def test_dropout_does_not_show_in_an_evaluation() -> None:
    model = network()
    model.train()
    assert evaluate(model, records(), 2).loss == evaluate(model, records(), 2).loss
    assert model.training
    assert torch.is_grad_enabled()


def test_macro_f1_is_scikit_learns_over_the_labels_that_are_there() -> None:
    random = np.random.default_rng(5)
    truth, logits = random.integers(0, 4, 60), random.normal(size=(60, 5)).astype(np.float32)
    found = score(logits, truth, 5)
    per_label = f1_score(truth, logits.argmax(axis=1), labels=range(4), average=None, zero_division=0)
    assert found.macro_f1 == pytest.approx(per_label.mean())
    assert score(logits[:0], truth[:0], 5).macro_f1 == 0.0


def test_records_without_a_label_are_not_looked_at() -> None:
    whole = records(TABLE, 20)
    hidden = Records(whole.inputs, np.where(np.arange(20) % 3 == 0, -1, whole.labels))
    found, expected = evaluate(network(), hidden, 2), evaluate(network(), whole.take(np.flatnonzero(hidden.labels >= 0)), 2)
    assert (found.records, found.loss) == (13, expected.loss)
    assert (found.confusion == expected.confusion).all()


# Heads


def test_with_heads_answers_stay_in_their_blocks_and_losses_are_of_the_head() -> None:
    logits = np.log(np.array([[0.1, 0.2, 0.1, 0.1, 0.5, 0, 0, 0], [0.6, 0, 0, 0.1, 0.3, 0, 0, 0]], np.float32) + np.float32(1e-6))
    found = score(logits, np.array([1, 4]), 8, HEADS)
    assert (found.confusion[1, 1], found.confusion[4, 4], found.confusion.sum()) == (1, 1, 2)
    assert found.loss == pytest.approx(-np.log([0.5, 0.75]).mean(), rel=1e-4)
    assert {name: (one.records, one.accuracy) for name, one in found.by_head.items()} == {"abc": (1, 1.0), "xy": (1, 1.0), "pqr": (0, 0.0)}


def test_every_confusion_is_block_diagonal() -> None:
    found = evaluate(network(TABLES), headed(TABLES), 8, HEADS)
    own = heads_of(HEADS)
    assert not found.confusion[own[:, None] != own].any()
    assert found.confusion.sum() == 48
    assert evaluate(network(), records(), 2).by_head == {}
