"""The decoupled loss against its formula, and against Hinton's, of which it is two halves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.distill.decoupled import DecoupledTargets
from shared.distill.soft_targets import SoftTargets
from shared.models.features import Features
from tests.support.shown import LABELS, gradients, reordered, some


def plain(student: list[float], teacher: list[float], label: int, temperature: float, alpha: float, beta: float) -> float:
    q, p = (np.exp(np.array(x) / temperature) / np.exp(np.array(x) / temperature).sum() for x in (student, teacher))
    pair = [(p[label], q[label]), (1 - p[label], 1 - q[label])]
    others = [(p[k] / (1 - p[label]), q[k] / (1 - q[label])) for k in range(len(p)) if k != label]
    target, rest = (sum(a * np.log(a / b) for a, b in part) for part in (pair, others))
    return float(temperature**2 * (alpha * target + beta * rest))


@pytest.mark.parametrize(("temperature", "alpha", "beta"), [(1.0, 1.0, 8.0), (4.0, 0.5, 0.0), (2.0, 0.0, 1.0)])
def test_by_hand(temperature: float, alpha: float, beta: float) -> None:
    student, teacher = some(3, 4), some(3, 4, seed=1)
    found = DecoupledTargets(temperature, alpha, beta)(Features(student), Features(teacher), LABELS)
    records = zip(student.tolist(), teacher.tolist(), LABELS.tolist(), strict=True)
    assert found.tolist() == pytest.approx([plain(one, other, label, temperature, alpha, beta) for one, other, label in records])


@given(st.integers(0, 1000), st.integers(2, 6))
def test_the_halves_make_hintons_loss(seed: int, labels: int) -> None:
    # The paper's eq. 6: KL = TCKD + (1 - p_label) NCKD.
    student, teacher = Features(some(1, labels, seed=seed)), Features(some(1, labels, seed=seed + 1))
    chosen = torch.tensor([seed % labels])
    rest = 1 - float(teacher.logits.div(2.0).softmax(dim=1)[0, chosen])
    torch.testing.assert_close(DecoupledTargets(2.0, 1.0, rest)(student, teacher, chosen), SoftTargets(2.0)(student, teacher, chosen))


def test_an_equal_teacher_costs_nothing() -> None:
    logits = some(3, 4)
    found = DecoupledTargets(2.0, 1.0, 8.0)(Features(logits + 5), Features(logits), LABELS)
    assert found.abs().max().item() == pytest.approx(0.0, abs=1e-12)


def test_an_unlabelled_record_has_the_teachers_answer() -> None:
    term, student, teacher = DecoupledTargets(2.0, 1.0, 3.0), Features(some(3, 4)), Features(some(3, 4, seed=1))
    found = term(student, teacher, torch.full((3,), -1))
    torch.testing.assert_close(found, term(student, teacher, teacher.logits.argmax(dim=1)))


def test_labels_that_the_teacher_rules_out_leave_numbers() -> None:
    teacher = Features(torch.tensor([[1.0, -torch.inf, -torch.inf], [1.0, 2.0, -torch.inf]]))
    logits = torch.zeros(2, 3, requires_grad=True)
    value = DecoupledTargets(2.0, 1.0, 2.0)(Features(logits), teacher, torch.tensor([0, 0]))
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_gradients_and_order() -> None:
    term, student, teacher = DecoupledTargets(2.0, 1.0, 8.0), Features(some(3, 4)), Features(some(3, 4, seed=1))
    gradients(term, student, teacher, LABELS)
    reordered(term, student, teacher, LABELS)
