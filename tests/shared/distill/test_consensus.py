"""The consensus beside own lessons: the loss is the plain one over what the generator draws, and it is learnt."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shared.distill.consensus import Consensus, ConsensusLesson
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


def consensus(task: Task = TABLE, weight: float = 1.0, count: int = 30) -> Consensus:
    raw = inputs(task, count, seed=5)
    return Consensus(raw, predict_logits(network(task, seed=4), raw) * 3, weight, 2.0)


@pytest.mark.parametrize("task", [TABLE, IMAGES, TEXTS])
def test_the_loss_is_the_plain_one_over_the_records_that_are_drawn(task: Task) -> None:
    given, student = consensus(task, weight=0.5), network(task)
    lesson = ConsensusLesson(given, generator(1))
    rows = torch.randperm(30, generator=generator(1))[:8]
    plain = SoftTargets(2.0)(
        student.features(torch.from_numpy(given.inputs[rows.numpy()])), Features(torch.from_numpy(given.table)[rows]), rows
    ).mean()
    torch.testing.assert_close(lesson.loss(student, 8), 0.5 * plain)
    assert not torch.equal(lesson.loss(student, 8), 0.5 * plain), "every batch draws anew"


def test_a_student_that_says_the_same_has_nothing_to_learn() -> None:
    raw, student = inputs(TABLE, 30), network()
    same = Consensus(raw, predict_logits(student, raw), 1.0, 2.0)
    assert ConsensusLesson(same, generator(1)).loss(student, 99).item() == pytest.approx(0.0, abs=1e-6)


def test_a_fit_comes_nearer_to_the_consensus_and_nothing_changes_without_a_weight() -> None:
    students = {weight: network() for weight in (None, 0.0, 1.0)}
    training = TrainingSettings(epochs=20, learning_rate=1e-2)
    for weight, student in students.items():
        distil(student, None, records(), training, ALONE, seed=3, consensus=None if weight is None else consensus(weight=weight))
    assert to_vector(students[0.0]).tobytes() == to_vector(students[None]).tobytes()
    given = consensus()
    gaps = [np.abs(predict_logits(students[weight], given.inputs) - given.table).mean() for weight in (None, 1.0)]
    assert gaps[1] < gaps[0] / 2
