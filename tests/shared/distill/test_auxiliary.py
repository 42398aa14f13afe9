"""Records beside own lessons: the loss is the plain one over what the generator draws, in one pass or two, and it is learnt."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from shared.distill.auxiliary import Auxiliary, AuxiliaryLesson, Beside
from shared.distill.soft_targets import SoftTargets
from shared.distill.trainer import distil
from shared.models import to_vector
from shared.models.features import Features
from shared.models.network import predict_logits
from shared.models.seeds import generator
from shared.settings import DistillationSettings, TrainingSettings
from shared.task import Task
from tests.support.networks import IMAGES, TABLE, TEXTS, inputs, network, records

ALONE = DistillationSettings(teacher="none")


def consensus(task: Task = TABLE, weight: float = 1.0, count: int = 30, **changed: Any) -> Auxiliary:
    raw = inputs(task, count, seed=5)
    return Auxiliary("consensus", raw, predict_logits(network(task, seed=4), raw) * 3, weight, 2.0, **changed)


@pytest.mark.parametrize("task", [TABLE, IMAGES, TEXTS])
@pytest.mark.parametrize("batch", [0, 3])
def test_the_loss_is_the_plain_one_over_the_records_that_are_drawn(task: Task, batch: int) -> None:
    given, student = consensus(task, weight=0.5, batch=batch), network(task)
    own = torch.from_numpy(inputs(task, 8, seed=6))
    beside = Beside(student, [given], 1)
    found, loss = beside.seen(own, lambda batch: batch)
    rows = torch.randperm(30, generator=generator(1, "consensus"))[: batch or 8]
    plain = SoftTargets(2.0)(
        student.features(torch.from_numpy(given.inputs[rows.numpy()])), Features(torch.from_numpy(given.table)[rows]), rows
    ).mean()
    torch.testing.assert_close(loss, 0.5 * plain)
    torch.testing.assert_close(found.logits, student.features(own).logits)
    assert found.hidden_states[-1].shape == student.features(own).hidden_states[-1].shape
    again = beside.seen(own, lambda batch: batch)[1]
    assert again is not None
    assert not torch.equal(again, 0.5 * plain), "every batch draws anew"


def test_a_student_that_says_the_same_has_nothing_to_learn() -> None:
    raw, student = inputs(TABLE, 30), network()
    same = AuxiliaryLesson(Auxiliary("consensus", raw, predict_logits(student, raw), 1.0, 2.0), generator(1))
    drawn, answers = same.draw(99)
    assert len(answers) == 30, "no record is drawn twice"
    assert same.loss(student.features(drawn), answers).item() == pytest.approx(0.0, abs=1e-6)


def test_two_kinds_of_records_add_up() -> None:
    student, own = network(), torch.from_numpy(inputs(TABLE, 8, seed=6))
    one, other = consensus(), dataclasses.replace(consensus(weight=0.25, batch=5), name="imagined")
    losses = [Beside(student, kinds, 1).seen(own, lambda batch: batch)[1] for kinds in ([one], [other], [one, other], [])]
    *parts, both, nothing = losses
    assert nothing is None
    torch.testing.assert_close(both, sum(part for part in parts if part is not None))


def test_answers_for_even_labels_take_the_label_shares_out_of_the_own_lessons() -> None:
    own = records()
    rare = own.take(np.concatenate([np.flatnonzero(own.labels == 0), np.flatnonzero(own.labels == 1)[:2]]))
    students = {even: network() for even in (False, True)}
    flat = np.zeros((30, 2), np.float32)
    for even, student in students.items():
        nothing = Auxiliary("imagined", inputs(TABLE, 30, seed=5), flat, 1e-6, 1.0, even=even)
        distil(student, None, rare, TrainingSettings(epochs=40, learning_rate=1e-2), ALONE, seed=3, auxiliaries=[nothing])
    leaning = {even: predict_logits(student, own.inputs) @ np.array([-1.0, 1.0]) for even, student in students.items()}
    assert leaning[True].mean() > leaning[False].mean() + 0.5, "the rare label is not held for rare"


def test_a_fit_comes_nearer_to_the_consensus_and_nothing_changes_without_a_weight() -> None:
    students = {weight: network() for weight in (None, 0.0, 1.0)}
    training = TrainingSettings(epochs=20, learning_rate=1e-2)
    for weight, student in students.items():
        distil(student, None, records(), training, ALONE, seed=3, auxiliaries=[] if weight is None else [consensus(weight=weight)])
    assert to_vector(students[0.0]).tobytes() == to_vector(students[None]).tobytes()
    given = consensus()
    gaps = [np.abs(predict_logits(students[weight], given.inputs) - given.table).mean() for weight in (None, 1.0)]
    assert gaps[1] < gaps[0] / 2
