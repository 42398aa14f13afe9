"""Taking an institution's own label shares out of its lessons."""

from __future__ import annotations

import math

import pytest
import torch

from shared.distill.label_shift import label_offset, shifted, teacher_offset
from shared.models.features import Features

LABELS = torch.tensor([0, 0, 0, 1])


def test_the_offset_is_the_difference_of_log_shares() -> None:
    offset = label_offset(LABELS, (0.25, 0.75), 1.0)
    assert offset is not None
    assert offset.tolist() == pytest.approx([math.log(3.5 / 5 / 0.25), math.log(1.5 / 5 / 0.75)])


def test_half_the_strength_is_half_the_offset() -> None:
    whole, half = label_offset(LABELS, (0.5, 0.5), 1.0), label_offset(LABELS, (0.5, 0.5), 0.5)
    assert whole is not None
    assert half is not None
    assert torch.allclose(half, whole / 2)


def test_an_institution_like_all_others_is_not_corrected() -> None:
    offset = label_offset(LABELS, (0.7, 0.3), 1.0)
    assert offset is not None
    assert torch.allclose(offset, torch.zeros(2), atol=1e-6)


def test_a_label_never_seen_is_finite() -> None:
    offset = label_offset(LABELS, (0.2, 0.2, 0.6), 1.0)
    assert offset is not None
    assert torch.isfinite(offset).all()
    assert offset[2] < offset[1] < offset[0]


@pytest.mark.parametrize(("shares", "strength"), [((), 1.0), ((0.5, 0.5), 0.0)])
def test_nothing_known_or_wanted_changes_nothing(shares: tuple[float, ...], strength: float) -> None:
    found = Features(torch.ones(2, 2))
    assert label_offset(LABELS, shares, strength) is None
    assert shifted(found, None) is found


def test_only_logits_are_shifted() -> None:
    state = torch.ones(1, 3, 2)
    moved = shifted(Features(torch.zeros(1, 2), (state,)), torch.tensor([1.0, -1.0]))
    assert moved.logits.tolist() == [[1.0, -1.0]]
    assert moved.hidden_states[0] is state


def test_a_teacher_that_leans_less_than_its_labels_is_brought_to_lean_as_they_do() -> None:
    answers = torch.tensor([[0.5, 0.5], [0.6, 0.4], [0.4, 0.6], [0.5, 0.5]])
    offset = teacher_offset(LABELS, answers, 1.0)
    assert offset.tolist() == pytest.approx([math.log(0.7 / 0.5), math.log(0.3 / 0.5)])
    assert torch.equal(teacher_offset(LABELS, answers, 0.0), torch.zeros(2))


def test_an_answer_never_given_is_finite() -> None:
    assert torch.isfinite(teacher_offset(LABELS, torch.tensor([[1.0, 0.0]] * 4), 1.0)).all()


def test_records_without_a_label_have_no_share() -> None:
    mixed, answers = torch.tensor([0, -1, 0, 0, -1, 1]), torch.softmax(torch.arange(12.0).reshape(6, 2).cos(), dim=1)
    offset, labelled = label_offset(mixed, (0.25, 0.75), 1.0), mixed >= 0
    expected = label_offset(LABELS, (0.25, 0.75), 1.0)
    assert offset is not None
    assert expected is not None
    assert torch.equal(offset, expected)
    assert torch.equal(teacher_offset(mixed, answers, 1.0), teacher_offset(LABELS, answers[labelled], 1.0))
    assert label_offset(torch.full((3,), -1), (0.25, 0.75), 1.0) is None
