"""A round of distillation learns, and is a function of its arguments: between runs, threads and processes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from shared.distill import distil, evaluate
from shared.distill.targets import targets_of
from shared.distill.trainer import AlignmentState
from shared.errors import CheckpointError, NotFiniteError
from shared.models import to_vector
from shared.settings import DistillationSettings, NetworkSettings, TrainingSettings
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
