"""Weights of records have mean 1, rise with difficulty, and carry no gradient."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.distill.difficulty import entropy, record_weights
from shared.models.features import Features
from tests.support.shown import LABELS, reordered, some

SOURCES: tuple[Literal["teacher", "student"], ...] = ("teacher", "student")


def test_entropy_by_hand() -> None:
    logits = torch.tensor([[0.0, 0.0], [1e4, 0.0], [math.log(3.0), 0.0], [0.0, -torch.inf]])
    expected = [math.log(2), 0.0, -0.75 * math.log(0.75) - 0.25 * math.log(0.25), 0.0]
    assert entropy(logits).tolist() == pytest.approx(expected, abs=1e-6)


@given(st.integers(0, 1000), st.floats(0.0, 10.0), st.sampled_from(SOURCES))
def test_their_mean_is_one_and_they_rise_with_difficulty(seed: int, power: float, source: Literal["teacher", "student"]) -> None:
    student, teacher = Features(some(3, 4, seed=seed)), Features(some(3, 4, seed=seed + 1))
    losses = -torch.log_softmax(student.logits, dim=1)[torch.arange(3), LABELS]
    hard = entropy(teacher.logits) if source == "teacher" else losses
    found = record_weights(student, teacher, LABELS, source, power)
    assert found.mean().item() == pytest.approx(1.0)
    assert (found[hard.argsort()].diff() >= 0).all()
    reordered(lambda one, other, labels: record_weights(one, other, labels, source, power), student, teacher, LABELS)


def test_a_power_of_one_is_the_difficulty_relative_to_the_mean() -> None:
    teacher = Features(some(3, 4))
    expected = entropy(teacher.logits) / entropy(teacher.logits).mean()
    torch.testing.assert_close(record_weights(teacher, teacher, LABELS, "teacher", 1.0), expected, rtol=1e-4, atol=1e-4)
    assert (record_weights(teacher, teacher, LABELS, "student", 0.0) == 1).all()


def test_an_unlabelled_record_is_of_mean_difficulty_to_the_student() -> None:
    found = record_weights(Features(some(3, 4)), None, torch.tensor([0, -1, 1]), "student", 1.0)
    assert found[1].item() == pytest.approx(1.0)
    assert torch.equal(record_weights(Features(some(3, 4)), None, torch.tensor([-1, -1, -1]), "student", 1.0), torch.ones(3).double())


def test_a_teacher_that_is_sure_of_all_or_shows_nothing_weighs_all_the_same() -> None:
    sure = Features(torch.tensor([[1e5, 0.0], [0.0, 1e5]]))
    assert record_weights(sure, sure, LABELS[:2], "teacher", 3.0).tolist() == [1.0, 1.0]
    assert record_weights(sure, None, LABELS[:2], "teacher", 3.0).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("source", SOURCES)
def test_they_carry_no_gradient(source: Literal["teacher", "student"]) -> None:
    student = Features(some(3, 4).requires_grad_())
    assert not record_weights(student, student, LABELS, source, 2.0).requires_grad
