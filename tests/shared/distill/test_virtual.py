"""A virtual teacher is right, nearly sure, and silent about what has no label."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shared.distill.soft_targets import SoftTargets
from shared.distill.virtual import VirtualTeacher
from shared.models.features import Features
from tests.support.shown import LABELS, gradients, reordered, some


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_by_hand(temperature: float) -> None:
    logits = some(3, 3)
    p = np.full((3, 3), 0.05)
    p[np.arange(3), LABELS.numpy()] = 0.9
    p = p ** (1 / temperature) / (p ** (1 / temperature)).sum(axis=1, keepdims=True)
    q = torch.softmax(logits / temperature, dim=1).numpy()
    found = VirtualTeacher(temperature, 0.9)(Features(logits), None, LABELS)
    assert found.tolist() == pytest.approx(list(temperature**2 * (p * np.log(p / q)).sum(axis=1)))


def test_it_is_soft_targets_of_its_own_logits_and_costs_an_equal_student_nothing() -> None:
    term, student = VirtualTeacher(2.0, 0.95), Features(some(3, 3))
    teacher = Features(torch.log(torch.eye(3, dtype=torch.float64)[LABELS] * (0.95 - 0.025) + 0.025))
    torch.testing.assert_close(term(student, None, LABELS), SoftTargets(2.0)(student, teacher, LABELS))
    assert term(teacher, None, LABELS).abs().max().item() == pytest.approx(0.0, abs=1e-12)


def test_unlabelled_records_are_left_out() -> None:
    term, logits = VirtualTeacher(2.0, 0.95), some(4, 3)
    labels = torch.tensor([0, -1, 2, -1])
    found = term(Features(logits), None, labels)
    assert found[1] == found[3] == 0
    torch.testing.assert_close(found.mean(), term(Features(logits[[0, 2]]), None, labels[[0, 2]]).mean())
    assert (term(Features(logits), None, torch.full((4,), -1)) == 0).all()


def test_gradients_and_order() -> None:
    student = Features(some(3, 3))
    gradients(VirtualTeacher(2.0, 0.95), student, student, torch.tensor([0, -1, 1]))
    reordered(VirtualTeacher(2.0, 0.95), student, student, torch.tensor([0, -1, 1]))
