"""Only what has no label, and of that only what the teacher is sure of, gets one."""

from __future__ import annotations

import math

import pytest
import torch

from shared.distill.pseudo_labels import PseudoLabels
from shared.models.features import Features
from tests.support.shown import gradients, reordered, some

TEACHER = Features(torch.tensor([[0.97, 0.03], [0.6, 0.4], [0.02, 0.98], [0.99, 0.01]], dtype=torch.float64).log())
STUDENT = Features(torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.75, 0.25], [0.9, 0.1]], dtype=torch.float64).log())
LABELS = torch.tensor([-1, -1, -1, 1])


def test_by_hand() -> None:
    found = PseudoLabels(0.95)(STUDENT, TEACHER, LABELS)
    # The mean over the three unlabelled records, of which the second is unsure.
    assert found.mean().item() == pytest.approx((math.log(2) + 0 + math.log(4)) / 3)
    assert found[1] == found[3] == 0


def test_no_confidence_takes_all_and_more_than_there_is_none() -> None:
    assert PseudoLabels(0.0)(STUDENT, TEACHER, LABELS).mean().item() == pytest.approx((math.log(2) * 2 + math.log(4)) / 3)
    assert (PseudoLabels(0.999)(STUDENT, TEACHER, LABELS) == 0).all()
    assert (PseudoLabels(0.0)(STUDENT, TEACHER, torch.zeros(4, dtype=torch.int64)) == 0).all()


def test_a_student_as_sure_as_can_be_costs_nothing() -> None:
    sure = Features(TEACHER.logits * 1e4)
    assert PseudoLabels(0.5)(sure, sure, LABELS).abs().max().item() == pytest.approx(0.0, abs=1e-12)


def test_gradients_and_order() -> None:
    gradients(PseudoLabels(0.95), Features(some(4, 2)), TEACHER, LABELS)
    reordered(PseudoLabels(0.95), Features(some(4, 2)), TEACHER, LABELS)
