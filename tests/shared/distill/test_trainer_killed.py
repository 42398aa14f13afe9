"""A fit that is killed at any batch, however often, ends with the same bits: whatever teaches, and whatever the loss remembers."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from shared.data.records import Records
from shared.distill import distil
from shared.distill.auxiliary import Auxiliary
from shared.distill.cache import order_of
from shared.distill.depth import Wanted
from shared.distill.lesson import Lesson
from shared.distill.resume import Resume
from shared.distill.targets import Order, Targets, live_targets
from shared.distill.trainer import Outcome
from shared.distill.views import Views
from shared.models import to_vector
from shared.settings import DistillationSettings, NetworkSettings, TrainingSettings
from shared.task import Task
from shared.teachers.own import OwnTeacher
from tests.support.networks import IMAGES, LARGE, SMALL, TABLE, TEXTS, network, records

DROPPING = NetworkSettings(width=8, depth=2, heads=2, dropout=0.2)
MENTOR = LARGE.model_copy(update={"dropout": 0.2})
PLAIN = TrainingSettings(epochs=3, batch_size=16, learning_rate=5e-3)
SHARES = (0.3, 0.7)


@dataclass(frozen=True)
class Case:
    distillation: DistillationSettings
    training: TrainingSettings = PLAIN
    task: Task = TABLE
    student: NetworkSettings = SMALL
    shares: tuple[float, ...] = ()
    hidden_labels: bool = False
    consensus: bool = False


CASES = {
    "own": Case(DistillationSettings(embedding_weight=0.1)),
    "own-scaled-learned": Case(DistillationSettings(adaptive_scale=True, hidden_map="learned"), student=DROPPING),
    "own-decoupled-level": Case(DistillationSettings(output_loss="dkd", difficulty_weight=1.0, label_correction=1.0), shares=SHARES),
    "own-views": Case(DistillationSettings(views=3, adaptive_scale=True)),
    "own-image-views": Case(DistillationSettings(views=2), task=IMAGES),
    "own-texts": Case(DistillationSettings(adaptive_scale=True), task=TEXTS, student=DROPPING),
    "none-held-near": Case(DistillationSettings(teacher="none", proximal=1.0, previous_weight=1.0), student=DROPPING),
    "virtual": Case(DistillationSettings(teacher="virtual")),
    "average": Case(DistillationSettings(teacher="average", adaptive_scale=True, average_decay=0.9), student=DROPPING),
    "average-level": Case(DistillationSettings(teacher="average", label_correction=1.0, average_decay=0.5), shares=SHARES),
    "average-texts-views": Case(DistillationSettings(teacher="average", views=2), task=TEXTS),
    "mutual": Case(DistillationSettings(teacher="mutual"), student=DROPPING),
    "mutual-views-patience": Case(DistillationSettings(teacher="mutual", views=2), PLAIN.model_copy(update={"patience": 1})),
    "pseudo": Case(DistillationSettings(teacher="pseudo", confidence=0.5, average_decay=0.5), hidden_labels=True),
    "patience": Case(DistillationSettings(), PLAIN.model_copy(update={"patience": 1, "learning_rate": 1.0, "epochs": 8})),
    "patience-average": Case(
        DistillationSettings(teacher="average", adaptive_scale=True), PLAIN.model_copy(update={"patience": 2}), student=DROPPING
    ),
    "parts": Case(DistillationSettings(adaptive_scale=True), PLAIN.model_copy(update={"accumulation": 3}), student=DROPPING),
    "parts-average": Case(DistillationSettings(teacher="average", views=2), PLAIN.model_copy(update={"accumulation": 2})),
    "consensus": Case(DistillationSettings(), student=DROPPING, consensus=True),
    "half-precision": Case(DistillationSettings(), PLAIN.model_copy(update={"precision": "bfloat16"})),
}


class Ended(NamedTuple):
    vector: bytes
    alignment: dict[str, bytes]
    loss: float
    epochs: int
    calls: int


class Killed(Exception):
    """A process that ends in the middle of a fit."""


@functools.cache
def given_records(case: Case) -> Records:
    found = records(case.task, 44)
    if case.hidden_labels:
        found.labels[1::3] = -1
    return found


@functools.cache
def targets(case: Case) -> Targets | None:
    if case.distillation.teacher != "own":
        return None
    teacher, views = OwnTeacher(network(case.task, LARGE, seed=9)), views_of(case) or Views(case.task)
    return live_targets(teacher, given_records(case), views, order(case))


@functools.cache
def order(case: Case) -> Order:
    return order_of(case.student, case.task, case.distillation, OwnTeacher(network(case.task, LARGE, seed=9)))


def views_of(case: Case) -> Views | None:
    return Views(case.task, case.distillation.views, 5) if case.distillation.views > 1 else None


def fit(case: Case, resume: Resume | None, die_at: int | None = None) -> Ended | None:
    """The end of the fit; ``None`` if it died at the ``die_at``-th call of the loss."""
    torch.set_num_threads(1)
    student, calls, loss = network(case.task, case.student), 0, Lesson.loss

    def dying(lesson: Lesson, rows: Tensor, epoch: int) -> Tensor:
        nonlocal calls
        if calls == die_at:
            raise Killed
        calls += 1
        return loss(lesson, rows, epoch)

    outcome: Outcome | None = None
    with patch.object(Lesson, "loss", dying), contextlib.suppress(Killed):
        outcome = distil(
            student,
            targets(case),
            given_records(case),
            case.training,
            case.distillation,
            seed=4,
            label_shares=case.shares,
            mentor=network(case.task, MENTOR, seed=9) if case.distillation.teacher == "mutual" else None,
            wanted=Wanted(order(case).hidden, order(case).attentions) if case.distillation.teacher == "own" else None,
            views=views_of(case),
            resume=resume,
            auxiliaries=[
                Auxiliary("consensus", records(case.task, 30).inputs, np.eye(2, dtype=np.float32).repeat(15, 0), 1.0, 2.0),
                Auxiliary("imagined", records(case.task, 20).inputs, np.eye(2, dtype=np.float32).repeat(10, 0), 1.0, 1.0, batch=3),
            ]
            if case.consensus
            else [],
        )
    if outcome is None:
        return None
    kept = {name: tensor.numpy().tobytes() for name, tensor in outcome.alignment.items()}
    return Ended(to_vector(student).tobytes(), kept, outcome.loss, outcome.epochs, calls)


@functools.cache
def whole(case: Case) -> Ended:
    found = fit(case, None)
    assert found is not None
    return found


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=6)
@given(data=st.data())
def test_killed_at_any_batch_it_ends_the_same(name: str, data: st.DataObject) -> None:
    case = CASES[name]
    expected = whole(case)
    died = data.draw(st.lists(st.integers(0, expected.calls - 1), min_size=1, max_size=2))
    found, done = None, 0
    with TemporaryDirectory() as folder:
        for die_at in (*died, None):
            found = fit(case, Resume(Path(folder) / "fit.safetensors", "one", interval_s=0.0), die_at)
            if found is not None:
                break
            done += die_at or 0
    assert found is not None
    assert found[:4] == expected[:4]
    # What an earlier process did is not done again, but for the parts of a batch that was not whole.
    assert expected.calls <= done + found.calls <= expected.calls + len(died) * (case.training.accumulation - 1)


def test_a_fit_that_is_over_ends_the_same_once_more(tmp_path: Path) -> None:
    for name in ("own-scaled-learned", "patience"):
        case, path = CASES[name], tmp_path / name
        first, again = (fit(case, Resume(path, "one", interval_s=0.0)) for _ in range(2))
        assert first is not None
        assert again is not None
        assert again[:4] == first[:4]


def test_patience_ends_one_of_the_fits_early() -> None:
    # At this rate no weight moves, on any machine: the loss on what is held out never gets better.
    training = CASES["patience"].training.model_copy(update={"learning_rate": 1e-30})
    assert whole(dataclasses.replace(CASES["patience"], training=training)).epochs == 2
