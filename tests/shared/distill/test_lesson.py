"""A batch teaches what its view shows; padding that the student has not is cut from the teacher, and nothing that is real."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.data.records import Records
from shared.distill.label_shift import label_offset, teacher_offset
from shared.distill.lesson import Lesson, Shifted, cut
from shared.distill.targets import HeldTargets
from shared.distill.views import Views
from shared.models.features import Features, features
from shared.settings import DistillationSettings
from tests.support.networks import LARGE, TABLE, TEXTS, network, records

ALONE = DistillationSettings(teacher="none")


def padded(lengths: list[int], tokens: int, *, masked: bool = True, flat: bool = False) -> Features:
    """Invented features of records of these lengths, padded to ``tokens``."""
    rng, batch = torch.Generator().manual_seed(1), len(lengths)
    mask = torch.arange(tokens) < torch.tensor(lengths)[:, None]
    states = tuple(torch.randn(batch, tokens, 4, generator=rng) for _ in range(3))
    maps = tuple(torch.randn(*((batch, tokens) if flat else (batch, 2, tokens, tokens)), generator=rng) for _ in range(2))
    return Features(torch.randn(batch, 3, generator=rng), states, maps, mask if masked else None)


# Cutting


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 4), st.booleans())
def test_what_is_cut_is_padding_alone(lengths: list[int], more: int, flat: bool) -> None:
    tokens = max(lengths)
    teacher, student = padded(lengths, tokens + more, flat=flat), padded(lengths, tokens)
    found = cut(teacher, student)
    assert found.mask is not None
    assert student.mask is not None
    assert teacher.mask is not None
    assert torch.equal(found.mask, student.mask)
    assert torch.equal(found.logits, teacher.logits)
    for whole, part in zip(teacher.hidden_states, found.hidden_states, strict=True):
        assert torch.equal(part, whole[:, :tokens])
    for whole, part in zip(teacher.attentions, found.attentions, strict=True):
        # Every record stays, whatever the form of the map.
        assert torch.equal(part, whole[:, :tokens] if flat else whole[:, :, :tokens, :tokens])
    assert torch.equal(found.mask.sum(dim=1), teacher.mask.sum(dim=1))


@pytest.mark.parametrize(
    ("teacher", "student"),
    [
        (padded([2, 3], 5, masked=False), padded([2, 3], 3)),
        (padded([2, 3], 5), padded([2, 3], 3, masked=False)),
        (padded([2, 3], 3), padded([2, 3], 5)),
        (padded([2, 4], 4), padded([2, 3], 3)),
    ],
    ids=["teacher-without-padding", "student-without-padding", "teacher-has-no-more", "what-is-over-is-real"],
)
def test_otherwise_nothing_is_cut(teacher: Features, student: Features) -> None:
    assert cut(teacher, student) is teacher


# Views


class Recorded:
    """Targets that note which records and view they were asked for."""

    def __init__(self, logits: Tensor) -> None:
        self.held, self.asked = HeldTargets(Features(logits)), [(-1, -1)]

    def take(self, rows: Tensor, view: int = 0) -> Features:
        self.asked.append((len(rows), view))
        return self.held.take(rows)


@given(st.integers(1, 4), st.integers(0, 5), st.integers(0, 9))
def test_teacher_and_student_see_the_epochs_view(count: int, first: int, epoch: int) -> None:
    examples = records(TABLE, 12)
    targets, views = Recorded(torch.zeros(12, 2)), Views(TABLE, count, seed=3, first=first)
    lesson = Lesson(network(), targets, examples, DistillationSettings(), seed=1, views=views)
    rows, view = torch.tensor([7, 2, 5]), (first + epoch) % count
    seen: list[NDArray[Any]] = []

    def looked(model: nn.Module, batch: Tensor) -> Features:
        seen.append(batch.numpy())
        return features(model, batch)

    with patch("shared.distill.auxiliary.features", looked):
        lesson.loss(rows, epoch)
    assert targets.asked[-1] == (3, view)
    np.testing.assert_array_equal(seen[-1], views.inputs(examples.inputs, rows.numpy(), view))


def test_view_0_is_the_record_as_it_is() -> None:
    examples, rows = records(TABLE, 12), torch.arange(6)
    losses = [
        Lesson(network(), None, examples, ALONE, seed=1, views=views).loss(rows, 0).item() for views in (None, Views(TABLE, 3, seed=2))
    ]
    assert losses[0] == losses[1]


# Offsets


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_students_offset_is_that_of_the_labels(strength: float) -> None:
    examples, rows, shares = records(TABLE, 40), torch.arange(40), (0.2, 0.8)
    settings = DistillationSettings(teacher="none", label_correction=strength)
    found = Lesson(network(), None, examples, settings, seed=1, label_shares=shares).loss(rows, 0)
    labels = torch.from_numpy(examples.labels)
    offset = label_offset(labels, shares, strength)
    assert offset is not None
    with torch.no_grad():
        logits = network()(torch.from_numpy(examples.inputs)) + offset
    torch.testing.assert_close(found.detach(), torch.nn.functional.cross_entropy(logits, labels))


def test_a_teacher_that_leans_is_brought_level() -> None:
    examples, rows = records(TABLE, 40), torch.arange(40)
    labels, logits = torch.from_numpy(examples.labels), torch.randn(40, 2, generator=torch.Generator().manual_seed(2))
    settings = DistillationSettings(label_correction=1.0, soft_weight=1.0, hidden_weight=0.0, attention_weight=0.0)
    leaning = HeldTargets(Features(logits + torch.tensor([3.0, 0.0])))
    level = Shifted(leaning, teacher_offset(labels, leaning.take(rows).logits.softmax(dim=1), 1.0))
    shares = tuple((torch.bincount(labels).to(torch.float64) + 0.5).div(41).tolist())
    found = Lesson(network(), leaning, examples, settings, seed=1, label_shares=shares).loss(rows, 0)
    # The institution's shares are the federation's, so that the student has an offset of 0 and the teacher alone is moved.
    plain = settings.model_copy(update={"label_correction": 0.0})
    torch.testing.assert_close(found, Lesson(network(), level, examples, plain, seed=1).loss(rows, 0), rtol=1e-5, atol=1e-6)


def test_shifted_targets_move_the_logits_alone() -> None:
    held, offset = padded([3, 2], 4), torch.tensor([1.0, -1.0, 0.5])
    found = Shifted(HeldTargets(held), offset).take(torch.tensor([1]))
    torch.testing.assert_close(found.logits, held.logits[1:] + offset)
    assert torch.equal(found.hidden_states[0], held.hidden_states[0][1:])


# What is carried


@pytest.mark.parametrize(("kind", "names"), [("none", {"objective"}), ("average", {"objective", "average"})])
def test_what_changes_from_batch_to_batch_is_carried(kind: Any, names: set[str]) -> None:
    student = network()
    lesson = Lesson(student, None, records(TABLE, 12), DistillationSettings(teacher=kind, average_decay=0.5), seed=1)
    assert set(lesson.carried) == names
    if kind == "average":
        before = lesson.carried["average"].get_state()
        with torch.no_grad():
            student.get_parameter("head.bias").add_(1.0)
        lesson.loss(torch.arange(4), 0)
        assert not torch.equal(lesson.carried["average"].get_state(), before)
        lesson.carried["average"].set_state(before)
        assert torch.equal(lesson.carried["average"].get_state(), before)


def test_texts_are_shown_without_padding_that_no_record_of_the_batch_needs() -> None:
    whole = records(TEXTS, 12)
    whole.inputs[:, 5:] = TEXTS.padding
    long = Records(np.ascontiguousarray(whole.inputs[:, :5]), whole.labels)
    losses = [Lesson(network(TEXTS), None, examples, ALONE, seed=1).loss(torch.arange(6), 0).item() for examples in (whole, long)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("kind", ["rows", "relations"])
def test_attention_is_compared_where_kept_targets_are_longer_than_the_first_text(kind: Any) -> None:
    examples, teacher = records(TEXTS, 6, seed=3), network(TEXTS, LARGE, seed=9)
    inputs = examples.inputs.copy()
    inputs[0, 3:] = TEXTS.padding
    with torch.no_grad():
        whole = features(teacher, torch.from_numpy(inputs))
    settings = DistillationSettings(attention_weight=1.0, attention_loss=kind, hidden_weight=0.0)
    lesson = Lesson(network(TEXTS), HeldTargets(whole), Records(inputs, examples.labels), settings, seed=1)
    rows, blind = torch.arange(6), settings.model_copy(update={"attention_weight": 0.0})
    without = Lesson(network(TEXTS), HeldTargets(whole), Records(inputs, examples.labels), blind, seed=1)
    assert float(lesson.loss(rows, 0).detach()) > float(without.loss(rows, 0).detach())
