"""A round of distillation learns, and is a function of its arguments: between runs, threads and processes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared.data.records import Records
from shared.distill import distil, evaluate
from shared.distill.depth import wanted
from shared.distill.targets import HeldTargets, Targets, targets_of
from shared.distill.trainer import AlignmentState
from shared.errors import CheckpointError, NotFiniteError
from shared.models import Network, to_vector
from shared.models.features import Features
from shared.settings import DistillationSettings, HiddenMap, NetworkSettings, TeacherKind, TrainingSettings
from shared.task import Task
from tests.support.networks import IMAGES, LARGE, SMALL, TABLE, network, records

TRAINING = TrainingSettings(epochs=3, batch_size=16, learning_rate=5e-3)
DROPPING = NetworkSettings(width=8, depth=2, heads=2, dropout=0.2)


def trained(task: Task = TABLE, *, seed: int = 4, settings: NetworkSettings = SMALL, taught: bool = True) -> tuple[str, AlignmentState]:
    torch.set_num_threads(1)
    student, examples = network(task, settings), records(task, 40)
    targets = targets_of(network(task, LARGE, seed=9), examples.inputs, inside=True) if taught else None
    outcome = distil(student, targets, examples, TRAINING, DistillationSettings(), seed=seed)
    return hashlib.sha256(to_vector(student).tobytes()).hexdigest(), outcome.alignment


@pytest.mark.parametrize("task", [TABLE, IMAGES])
def test_students_learn(task: Task) -> None:
    student, examples = network(task), records(task, 120)
    before = evaluate(student, examples, len(task.labels))
    outcome = distil(student, None, examples, TrainingSettings(epochs=30, learning_rate=1e-2), DistillationSettings(), seed=1)
    after = evaluate(student, examples, len(task.labels))
    assert after.accuracy > max(before.accuracy, 0.9)
    assert outcome.loss < before.loss
    assert not student.training


def test_a_student_follows_its_teacher_where_labels_are_not_asked() -> None:
    examples, teacher, student = records(TABLE, 120), network(TABLE, LARGE, seed=9), network()
    with torch.no_grad():
        # The teacher contradicts the labels on purpose.
        for parameter in teacher.head.parameters():
            parameter.mul_(20)
    targets = targets_of(teacher, examples.inputs, inside=True)
    settings = DistillationSettings(soft_weight=1.0)
    distil(student, targets, examples, TrainingSettings(epochs=40, learning_rate=1e-2), settings, seed=1)
    found = student(torch.from_numpy(examples.inputs)).argmax(dim=1)
    assert (found == targets.take(torch.arange(120)).logits.argmax(dim=1)).float().mean() > 0.9


@pytest.mark.parametrize("task", [TABLE, IMAGES])
@pytest.mark.parametrize("settings", [SMALL, DROPPING])
def test_equal_arguments_give_equal_bits(task: Task, settings: NetworkSettings) -> None:
    torch.manual_seed(1)
    one, _ = trained(task, settings=settings)
    torch.manual_seed(2)
    assert trained(task, settings=settings)[0] == one
    assert trained(task, settings=settings, seed=5)[0] != one


def test_threads_of_one_process_do_not_meet() -> None:
    expected = [trained(seed=seed, settings=DROPPING)[0] for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: trained(seed=seed, settings=DROPPING)[0], range(4)))
    assert found == expected


def test_processes_agree() -> None:
    command = "from tests.shared.distill.test_trainer import trained; print(trained()[0])"
    script = f"import sys; sys.path.insert(0, {str(sys.path[0])!r}); sys.path[:0] = {sys.path!r}; {command}"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert found.stdout.strip() == trained()[0]


def test_the_alignment_goes_on_where_it_stopped() -> None:
    examples, teacher = records(TABLE, 40), network(TABLE, LARGE, seed=9)
    targets = targets_of(teacher, examples.inputs, inside=True)
    _, alignment = trained()
    assert alignment
    student = network()
    again = distil(student, targets, examples, TRAINING, DistillationSettings(), seed=6, alignment=alignment).alignment
    assert set(again) == set(alignment)
    assert any(not torch.equal(again[name], alignment[name]) for name in alignment)
    other = network()
    distil(other, targets, examples, TRAINING, DistillationSettings(), seed=6)
    assert (to_vector(other) != to_vector(student)).any()


def test_an_alignment_of_other_shapes_is_refused() -> None:
    examples = records(TABLE, 20)
    targets = targets_of(network(TABLE, LARGE), examples.inputs, inside=True)
    with pytest.raises(CheckpointError, match="does not fit"):
        distil(network(), targets, examples, TRAINING, DistillationSettings(), seed=1, alignment={"x": torch.ones(1)})


def test_without_a_teacher_there_is_nothing_to_keep() -> None:
    assert trained(taught=False)[1] == {}


def test_a_rate_that_diverges_is_named() -> None:
    student, examples = network(IMAGES), records(IMAGES, 20)
    with torch.no_grad():
        student.get_parameter("head.weight").fill_(torch.finfo(torch.float32).max)
    with pytest.raises(NotFiniteError, match="learning_rate"):
        distil(student, None, examples, TRAINING, DistillationSettings(), seed=1)


def test_records_are_only_read() -> None:
    examples = records(TABLE, 20)
    before = examples.inputs.copy()
    distil(network(), None, examples, TRAINING, DistillationSettings(), seed=1)
    np.testing.assert_array_equal(before, examples.inputs)


# Records without labels


def test_labels_that_are_hidden_do_not_count() -> None:
    # One batch an epoch, so that the mean over labelled records is that of the labelled records alone.
    whole, training = records(TABLE, 40), TrainingSettings(epochs=3, batch_size=64, learning_rate=1e-3)
    hidden = Records(whole.inputs, np.where(np.arange(40) < 30, -1, whole.labels))
    settings, students = DistillationSettings(label_correction=1.0), [network(), network()]
    for student, examples in zip(students, (hidden, whole.take(np.arange(30, 40))), strict=True):
        distil(student, None, examples, training, settings, seed=1, label_shares=(0.5, 0.5))
    one, other = (student(torch.from_numpy(whole.inputs)).detach() for student in students)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def test_a_teacher_teaches_what_has_no_label() -> None:
    examples, teacher, student = records(TABLE, 120), network(TABLE, LARGE, seed=9), network()
    unlabelled = Records(examples.inputs, np.full(120, -1))
    targets = targets_of(teacher, examples.inputs, inside=True)
    before = disagreement(student, targets, examples)
    settings = DistillationSettings(label_correction=1.0)
    distil(student, targets, unlabelled, TrainingSettings(epochs=30, learning_rate=1e-2), settings, seed=1, label_shares=(0.5, 0.5))
    assert disagreement(student, targets, examples) < before / 2


def disagreement(student: Network, targets: Targets, examples: Records) -> float:
    logits = targets.take(torch.arange(len(examples))).logits
    found = student(torch.from_numpy(examples.inputs)).detach()
    return float((found.log_softmax(dim=1) - logits.log_softmax(dim=1)).abs().mean())


# Teachers that need no model


@pytest.mark.parametrize("kind", ["virtual", "average", "pseudo"])
def test_students_learn_without_a_teacher_and_repeat(kind: TeacherKind) -> None:
    torch.set_num_threads(1)
    examples, settings = records(TABLE, 80), DistillationSettings(teacher=kind, soft_weight=0.5, confidence=0.6)
    hidden = Records(examples.inputs, np.where(np.arange(80) % 2 == 0, -1, examples.labels))
    vectors = []
    for place in range(2):
        student = network(TABLE, DROPPING)
        torch.manual_seed(place)
        distil(student, None, hidden, TrainingSettings(epochs=30, learning_rate=1e-2), settings, seed=1, label_shares=(0.5, 0.5))
        vectors.append(to_vector(student))
        assert evaluate(student, examples, 2).accuracy > 0.85
    assert (vectors[0] == vectors[1]).all()


@pytest.mark.parametrize("kind", ["virtual", "average", "pseudo"])
def test_they_look_at_no_targets(kind: TeacherKind) -> None:
    examples, vectors = records(TABLE, 20), []
    for targets in (None, targets_of(network(TABLE, LARGE, seed=9), examples.inputs, inside=True)):
        student = network()
        distil(student, targets, examples, TRAINING, DistillationSettings(teacher=kind), seed=1)
        vectors.append(to_vector(student))
    assert (vectors[0] == vectors[1]).all()


def test_the_alignment_to_an_average_goes_on() -> None:
    examples, settings = records(TABLE, 20), DistillationSettings(teacher="average", hidden_map="learned", adaptive_scale=True)
    first = distil(network(), None, examples, TRAINING, settings, seed=1).alignment
    again = distil(network(), None, examples, TRAINING, settings, seed=1, alignment=first).alignment
    assert set(first) == set(again)
    assert {"scales.hidden.mean", "terms.hidden.preferences.0"} <= set(first)


# What the teacher shows


@pytest.mark.parametrize("kind", ["uniform", "last", "learned"])
def test_targets_may_hold_only_what_is_wanted(kind: HiddenMap) -> None:
    torch.set_num_threads(1)
    examples = records(TABLE, 40)
    settings = DistillationSettings(hidden_map=kind, embedding_weight=0.1)
    whole = targets_of(network(TABLE, LARGE, seed=9), examples.inputs, inside=True).take(torch.arange(40))
    places = wanted(SMALL.depth, LARGE.depth, settings)
    part = Features(
        whole.logits,
        tuple(whole.hidden_states[place] for place in places.hidden),
        tuple(whole.attentions[place - 1] for place in places.attentions),
    )
    vectors = []
    for targets, shows in ((HeldTargets(whole), None), (HeldTargets(part), places)):
        student = network()
        distil(student, targets, examples, TRAINING, settings, seed=1, wanted=shows)
        vectors.append(to_vector(student))
    assert (vectors[0] == vectors[1]).all()


class Viewed:
    """Views that shift all numbers, and targets that note what they were asked for."""

    def __init__(self, targets: Targets, count: int) -> None:
        self.targets, self.count = targets, count
        self.seen: list[int] = []
        self.asked: list[int] = []

    def of(self, epoch: int) -> int:
        return epoch % self.count

    def inputs(self, inputs: NDArray[Any], rows: NDArray[np.int64], view: int) -> NDArray[Any]:
        self.seen.append(view)
        return inputs[rows]

    def take(self, rows: Tensor, view: int = 0) -> Features:
        self.asked.append(view)
        return self.targets.take(rows)


@pytest.mark.parametrize("correction", [0.0, 1.0])
def test_teacher_and_student_see_the_same_view_of_each_epoch(correction: float) -> None:
    examples = records(TABLE, 20)
    viewed = Viewed(targets_of(network(TABLE, LARGE), examples.inputs, inside=True), 2)
    settings = DistillationSettings(label_correction=correction)
    distil(network(), viewed, examples, TRAINING, settings, seed=1, label_shares=(0.5, 0.5), views=viewed)
    # Two batches an epoch, three epochs; before them the teacher is asked for its shapes, and perhaps its mean answer.
    assert viewed.seen == [0, 0, 1, 1, 0, 0]
    assert viewed.asked[-6:] == viewed.seen


# Staying near where the student came from


def moved(settings: DistillationSettings) -> tuple[float, float]:
    """How far the weights, and how far the answers, went."""
    student, examples = network(), records(TABLE, 60)
    inputs, start = torch.from_numpy(examples.inputs), to_vector(student)
    before = student(inputs).log_softmax(dim=1).detach()
    distil(student, None, examples, TrainingSettings(epochs=10, learning_rate=1e-2, weight_decay=0.0), settings, seed=1)
    after = student(inputs).log_softmax(dim=1).detach()
    return float(np.linalg.norm(to_vector(student) - start)), float((after - before).abs().mean())


def test_a_proximal_term_holds_the_weights_and_a_previous_one_the_answers() -> None:
    free = moved(DistillationSettings())
    assert moved(DistillationSettings(proximal=10.0))[0] < free[0] / 2
    assert moved(DistillationSettings(previous_weight=10.0))[1] < free[1] / 2


def test_the_loss_that_is_told_has_every_part() -> None:
    training = TrainingSettings(epochs=1, batch_size=100)
    losses = [
        distil(network(), None, records(TABLE, 20), training, settings, seed=1).loss
        for settings in (DistillationSettings(), DistillationSettings(proximal=5.0, previous_weight=5.0))
    ]
    # In the first step the student is where it came from.
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
