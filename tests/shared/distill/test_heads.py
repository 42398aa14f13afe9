"""Within heads: every output term is what it would be if the record's head were the whole task."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from shared.distill.decoupled import DecoupledTargets
from shared.distill.difficulty import entropy
from shared.distill.evaluation import evaluate
from shared.distill.hard_labels import HardLabels
from shared.distill.heads import ConfinedTargets, Heads, WithinHeads, site_heads
from shared.distill.objective import declare
from shared.distill.pseudo_labels import PseudoLabels
from shared.distill.relational import RelationalTargets
from shared.distill.soft_targets import SoftTargets
from shared.distill.targets import HeldTargets, targets_of
from shared.distill.teacher import fit_teacher
from shared.distill.term import Term
from shared.distill.trainer import distil
from shared.distill.virtual import VirtualTeacher
from shared.heads import NONE
from shared.models import to_vector
from shared.models.features import Features
from shared.models.seeds import generator
from shared.settings import DistillationSettings, TeacherKind, TrainingSettings
from shared.task import Task
from tests.support.heads import HEADS, PICTURES, TABLES, labels, numbered, records
from tests.support.networks import LARGE, network
from tests.support.networks import records as others
from tests.support.shown import gradients, reordered, shown

TERMS: dict[str, Term] = {
    "hard": HardLabels(),
    "smooth": HardLabels(0.1),
    "kl": SoftTargets(3.0),
    "dkd": DecoupledTargets(2.0, 1.0, 2.0),
    "dist": RelationalTargets(2.0),
    "virtual": VirtualTeacher(2.0, 0.95),
    "pseudo": PseudoLabels(0.3),
}
MIXED = labels(0, 3, 7, 2, 4, 5)
STUDENT, TEACHER = (shown(layers=1, width=4, labels=8, batch=6, seed=seed) for seed in (0, 20))
SITE = Heads(HEADS, numbered(*range(8)))


def cut(found: Features, rows: Tensor, start: int, stop: int) -> Features:
    return Features(found.logits[rows, start:stop])


@pytest.mark.parametrize("name", sorted(set(TERMS) - {"pseudo"}))
@pytest.mark.parametrize("confined", [False, True])
def test_a_term_is_that_of_each_head_s_records_and_labels(name: str, confined: bool) -> None:
    student, teacher = (SITE.confined(found, MIXED) if confined else found for found in (STUDENT, TEACHER))
    found = WithinHeads(TERMS[name], SITE)(student, teacher, MIXED)
    for start, stop, rows in ((0, 3, labels(0, 3)), (3, 5, labels(1, 4)), (5, 8, labels(2, 5))):
        expected = TERMS[name](cut(STUDENT, rows, start, stop), cut(TEACHER, rows, start, stop), MIXED[rows] - start)
        torch.testing.assert_close(found[rows], expected)


@pytest.mark.parametrize("name", TERMS)
def test_terms_keep_the_laws_of_terms(name: str) -> None:
    term = WithinHeads(TERMS[name], SITE)
    reordered(term, STUDENT, TEACHER, MIXED)
    gradients(term, STUDENT, TEACHER, MIXED)
    assert (term(STUDENT, TEACHER, labels(0, -1, 7, 2, -1, 5)) >= 0).all()


@given(st.lists(st.integers(-1, 7), min_size=6, max_size=6))
def test_a_mean_over_labelled_records_is_that_of_all_heads(values: list[int]) -> None:
    found = WithinHeads(HardLabels(), SITE)(STUDENT, None, labels(*values)).mean()
    single = [
        HardLabels()(cut(STUDENT, labels(row), span.start, span.stop), None, labels(value - span.start)).item()
        for row, value in enumerate(values)
        if value >= 0
        for span in SITE.spans
        if span.start <= value < span.stop
    ]
    assert found.item() == pytest.approx(float(np.mean(single)) if single else 0.0)


@pytest.mark.parametrize("temperature", [1.0, 100.0])
def test_confined_logits_leave_nothing_to_other_heads_and_stay_numbers(temperature: float) -> None:
    confined = SITE.confined(STUDENT, MIXED)
    chances = (confined.logits / temperature).softmax(dim=1)
    assert torch.isfinite(confined.logits).all()
    assert chances[1, 3:5].sum().item() == pytest.approx(1.0)
    torch.testing.assert_close(SoftTargets(temperature)(confined, confined, MIXED), torch.zeros(6, dtype=torch.float64))
    torch.testing.assert_close(entropy(confined.logits)[1], entropy(STUDENT.logits[1:2, 3:5])[0])


def test_an_unlabelled_record_has_the_head_that_is_known() -> None:
    some = labels(-1, 4)
    assert Heads(HEADS, numbered(3, 4, -1)).of(some).tolist() == [1, 1]
    assert Heads(HEADS, numbered(0, 4, -1)).of(some).tolist() == [NONE, 1]
    assert Heads(HEADS, numbered(0, 4, -1), "pqr").of(some).tolist() == [2, 1]
    assert Heads(HEADS, numbered(-1, -1)).of(some).tolist() == [NONE, 1]
    assert Heads(HEADS, numbered(0, 4, -1), "pqr").present == (0, 1, 2)
    assert Heads(HEADS, numbered(3, 4)).present == (1,)
    unknown = Heads(HEADS, numbered(0, 4, -1)).confined(STUDENT.take(labels(0, 1)), some)
    assert torch.equal(unknown.logits[0], STUDENT.logits[0])


def test_targets_are_confined_by_the_record_that_they_are_of() -> None:
    found = ConfinedTargets(HeldTargets(TEACHER), SITE, MIXED).take(labels(4, 0))
    assert torch.equal(found.logits[0, 3:5], TEACHER.logits[4, 3:5])
    assert torch.equal(found.logits[1, :3], TEACHER.logits[0, :3])
    assert (found.logits[1, 3:] < -1e8).all()


def test_a_task_without_heads_is_left_alone() -> None:
    assert site_heads(network(), others().labels) is None


# In training

TRAINING = TrainingSettings(epochs=2, batch_size=16)
KINDS: tuple[TeacherKind, ...] = ("own", "none", "virtual", "average", "pseudo")


@pytest.mark.parametrize(("task", "kind"), list(itertools.product([TABLES, PICTURES], KINDS)))
def test_every_teacher_teaches_every_family_all_heads_or_one(task: Task, kind: TeacherKind) -> None:
    settings = DistillationSettings(
        teacher=kind, label_correction=1.0, difficulty_weight=0.5, previous_weight=0.1, adaptive_scale=True, output_loss="dist"
    )
    for only in (None, 1):
        site = records(task, only)
        student, teacher = network(task), network(task, LARGE, seed=9)
        targets = targets_of(teacher, site.inputs, inside=True) if kind == "own" else None
        found = distil(student, targets, site, TRAINING, settings, seed=3, label_shares=[1 / 8] * 8)
        assert np.isfinite(found.loss)
        again = network(task)
        distil(again, targets, site, TRAINING, settings, seed=3, label_shares=[1 / 8] * 8)
        assert (to_vector(again) == to_vector(student)).all()


def test_a_site_of_one_head_leaves_the_outputs_of_the_others_as_they_are() -> None:
    student, site = network(TABLES), records(TABLES, 1)
    before = student.head.weight.detach().clone()  # type: ignore[union-attr, operator]
    settings = DistillationSettings(teacher="none")
    distil(student, None, site, TRAINING.model_copy(update={"weight_decay": 0.0}), settings, seed=1)
    after = student.head.weight.detach()  # type: ignore[union-attr]
    changed = (before != after).any(dim=1)
    assert changed.tolist() == [False] * 3 + [True] * 2 + [False] * 3


def test_a_teacher_of_one_head_is_fitted_within_it() -> None:
    site = records(TABLES, 1, count=80)
    teacher = fit_teacher(site, TABLES, LARGE, TrainingSettings(epochs=12, learning_rate=1e-2), seed=1)
    found = evaluate(teacher, site, 8, HEADS)
    assert found.by_head["xy"].accuracy > 0.9
    assert found.confusion.sum() == found.confusion[3:5, 3:5].sum() == 80


def test_one_student_learns_all_heads() -> None:
    site, student = records(TABLES, count=240), network(TABLES)
    teacher = fit_teacher(site, TABLES, LARGE, TrainingSettings(epochs=15, learning_rate=1e-2), seed=1)
    targets = targets_of(teacher, site.inputs, inside=True)
    distil(student, targets, site, TrainingSettings(epochs=25, learning_rate=1e-2), DistillationSettings(), seed=1)
    found = evaluate(student, site, 8, HEADS)
    assert min(one.macro_f1 for one in found.by_head.values()) > 0.7


def test_padding_of_other_heads_never_changes_the_objective() -> None:
    settings = DistillationSettings(output_loss="dkd", difficulty_weight=1.0)
    objective = declare(settings, STUDENT, TEACHER, generator(1, "a"), heads=SITE).double()
    noisy = Features(TEACHER.logits.clone(), TEACHER.hidden_states, TEACHER.attentions)
    noisy.logits[0, 3:], noisy.logits[1, :3] = 50.0, -40.0
    found, other = (objective(SITE.confined(STUDENT, MIXED), SITE.confined(one, MIXED), MIXED) for one in (TEACHER, noisy))
    torch.testing.assert_close(found, other)
