"""On another device a fit computes there alone, and what it leaves is on the CPU: the same bits where the numbers are the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from shared.data.records import Records
from shared.distill import distil
from shared.distill.resume import Resume
from shared.distill.targets import targets_of
from shared.distill.teacher import fit_teacher
from shared.distill.trainer import Outcome
from shared.distill.views import Views
from shared.models import Network, to_vector
from shared.models.device import CPU
from shared.settings import DistillationSettings, NetworkSettings, TrainingSettings
from shared.task import Task
from tests.support.faraway import faraway
from tests.support.heads import PICTURES
from tests.support.heads import records as headed
from tests.support.networks import IMAGES, LARGE, TABLE, TEXTS, network, records

DROPPING = NetworkSettings(width=8, depth=2, heads=2, dropout=0.2)
TRAINING = TrainingSettings(epochs=2, batch_size=16, patience=1)
EVERYTHING = DistillationSettings(
    embedding_weight=0.1, adaptive_scale=True, difficulty_weight=1.0, label_correction=0.5, proximal=0.1, previous_weight=0.1
)
KINDS: dict[str, DistillationSettings] = {
    "own": EVERYTHING,
    "relations": DistillationSettings(attention_loss="relations", hidden_map="learned", output_loss="dkd"),
    "relational": DistillationSettings(output_loss="dist", difficulty_weight=1.0, difficulty="student"),
    "mutual": DistillationSettings(teacher="mutual"),
    "average": DistillationSettings(teacher="average", label_correction=0.5),
    "pseudo": DistillationSettings(teacher="pseudo", confidence=0.2),
    "virtual": DistillationSettings(teacher="virtual"),
    "none": DistillationSettings(teacher="none"),
}


def taught(
    task: Task, settings: DistillationSettings, device: torch.device, resume: Resume | None = None, examples: Records | None = None
) -> tuple[Network, Outcome]:
    """A student by every part of a fit that has tensors of its own: held-out records, views, dropout, unlabelled records."""
    examples = records(task, 60) if examples is None else examples
    labels = np.where(np.arange(len(examples)) % 10 == 3, -1, examples.labels)
    student, mentor = network(task, DROPPING), network(task, LARGE, seed=9)
    targets = targets_of(mentor, examples.inputs, inside=True) if settings.teacher == "own" else None
    outcome = distil(
        student,
        targets,
        Records(examples.inputs, labels),
        TRAINING,
        settings,
        seed=3,
        label_shares=tuple(np.full(len(task.labels), 1 / len(task.labels))),
        views=Views(task, 2, seed=1) if settings.teacher in ("average", "none") else None,
        resume=resume,
        mentor=mentor,
        device=device,
    )
    return student, outcome


def assert_same(one: tuple[Network, Outcome], other: tuple[Network, Outcome]) -> None:
    assert (to_vector(one[0]) == to_vector(other[0])).all()
    assert one[1].loss == other[1].loss
    assert one[1].alignment.keys() == other[1].alignment.keys()
    for name, tensor in one[1].alignment.items():
        assert other[1].alignment[name].device == CPU
        assert torch.equal(tensor, other[1].alignment[name])


@pytest.mark.parametrize("task", [TABLE, IMAGES, TEXTS], ids=lambda task: task.family)
@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_elsewhere_gives_the_cpus_student(task: Task, kind: str) -> None:
    near = taught(task, KINDS[kind], CPU)
    with faraway() as device:
        far = taught(task, KINDS[kind], device)
    assert {parameter.device for parameter in far[0].parameters()} == {CPU}
    assert_same(near, far)


@pytest.mark.parametrize("weighting", ["fixed", "uncertainty", "speed"])
def test_heads_are_placed_too(weighting: str) -> None:
    settings = EVERYTHING.model_copy(update={"task_weighting": weighting})
    near = taught(PICTURES, settings, CPU, examples=headed(PICTURES))
    with faraway() as device:
        assert_same(near, taught(PICTURES, settings, device, examples=headed(PICTURES)))


def test_what_is_kept_on_the_way_lies_on_the_cpu(tmp_path: Path) -> None:
    with faraway() as device:
        taught(TABLE, EVERYTHING, device, Resume(tmp_path / "fit", "one", interval_s=0.0))
    kept = Resume(tmp_path / "fit", "one").load()
    assert kept is not None
    assert {tensor.device for tensor in kept.values()} == {CPU}


@pytest.mark.parametrize("task", [TABLE, TEXTS], ids=lambda task: task.family)
def test_a_teacher_is_fitted_elsewhere_too(task: Task) -> None:
    near = fit_teacher(records(task, 60), task, DROPPING, TRAINING, seed=3)
    with faraway() as device:
        far = fit_teacher(records(task, 60), task, DROPPING, TRAINING, seed=3, device=device)
    assert (to_vector(near) == to_vector(far)).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here: whether a fit repeats itself on one was NOT tested")
@pytest.mark.parametrize("task", [TABLE, TEXTS], ids=lambda task: task.family)
def test_a_fit_on_a_gpu_repeats_itself(task: Task) -> None:
    device = torch.device("cuda", 0)
    assert_same(taught(task, EVERYTHING, device), taught(task, EVERYTHING, device))
