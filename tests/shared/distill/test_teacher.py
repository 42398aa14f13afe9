"""Teachers: fitted on training records alone, kept whole, refused when damaged."""

from __future__ import annotations

import contextlib
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.data.records import Records
from shared.distill import evaluate
from shared.distill.adamw import FlatAdamW
from shared.distill.resume import Resume
from shared.distill.teacher import fit_teacher, load_teacher, own_normalisation, save_teacher
from shared.errors import CheckpointError, EmptyInstitutionError
from shared.models import to_vector
from shared.settings import NetworkSettings, TrainingSettings
from shared.task import Task
from tests.support.networks import IMAGES, LARGE, SMALL, TABLE, network, records

TRAINING = TrainingSettings(epochs=12, batch_size=16, learning_rate=5e-3)


@pytest.mark.parametrize("task", [TABLE, IMAGES])
def test_a_teacher_learns_and_repeats(task: Task) -> None:
    settings = NetworkSettings(width=16, depth=2, dropout=0.1)
    one = fit_teacher(records(task, 120), task, settings, TRAINING, seed=3)
    assert evaluate(one, records(task, 60, seed=1), len(task.labels)).accuracy > 0.85
    assert (to_vector(one) == to_vector(fit_teacher(records(task, 120), task, settings, TRAINING, seed=3))).all()
    assert (to_vector(one) != to_vector(fit_teacher(records(task, 120), task, settings, TRAINING, seed=4))).any()
    assert not one.training


class Killed(Exception):
    """A process that ends in the middle of a fit."""


@pytest.mark.parametrize("count", [20, 60])
@settings(max_examples=8)
@given(die_at=st.integers(0, 11))
def test_a_fit_that_is_killed_goes_on_bit_for_bit(count: int, die_at: int) -> None:
    network, training = (
        NetworkSettings(width=8, depth=1, heads=2, dropout=0.1),
        TrainingSettings(epochs=6, batch_size=8, learning_rate=5e-3),
    )
    whole, steps, step = fit_teacher(records(TABLE, count), TABLE, network, training, seed=3), 0, FlatAdamW.step

    def dying(optimizer: FlatAdamW, rate: float) -> None:
        nonlocal steps
        if steps == die_at:
            raise Killed
        steps += 1
        step(optimizer, rate)

    with TemporaryDirectory() as folder:
        path = Path(folder) / "fit.safetensors"
        with patch.object(FlatAdamW, "step", dying), contextlib.suppress(Killed):
            fit_teacher(records(TABLE, count), TABLE, network, training, seed=3, resume=Resume(path, "one", interval_s=0.0))
        assert path.exists() == (die_at > 0)
        again = fit_teacher(records(TABLE, count), TABLE, network, training, seed=3, resume=Resume(path, "one", interval_s=0.0))
    assert (to_vector(again) == to_vector(whole)).all()


def test_the_fit_stops_at_the_best_epoch() -> None:
    # Labels that cannot be learnt: more epochs only memorise, and the validation part sees it.
    rng, examples = np.random.default_rng(1), records(TABLE, 60)
    examples.labels[:] = rng.integers(0, 2, 60)
    losses = [
        evaluate(
            fit_teacher(examples, TABLE, LARGE, TrainingSettings(epochs=epochs, learning_rate=1e-2), seed=3), records(TABLE, 200), 2
        ).loss
        for epochs in (1, 200)
    ]
    assert losses[1] < 1.5  # 200 epochs of memorising would cost far more


def test_few_records_are_all_learnt_from() -> None:
    assert evaluate(fit_teacher(records(TABLE, 6), TABLE, LARGE, TRAINING, seed=3), records(TABLE, 6), 2).records == 6


def test_no_records_are_said() -> None:
    with pytest.raises(EmptyInstitutionError):
        fit_teacher(records(TABLE, 5).take(np.array([], np.int64)), TABLE, LARGE, TRAINING, seed=3)


def test_the_normalisation_is_the_institutions_own() -> None:
    examples = records(TABLE, 100)
    found = own_normalisation(TABLE, examples)
    numbers = examples.inputs[:, [0, 2]].astype(np.float64)
    np.testing.assert_allclose(found.means, np.nanmean(numbers, axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.deviations, np.nanstd(numbers, axis=0), rtol=1e-5)


def test_round_trip_and_privacy(tmp_path: Path) -> None:
    teacher = network(TABLE, LARGE)
    save_teacher(tmp_path / "teacher", teacher)
    assert (to_vector(load_teacher(tmp_path / "teacher", TABLE)) == to_vector(teacher)).all()
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "teacher").iterdir()} == {0o600}


def test_no_teacher_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="fedstill teacher fit"):
        load_teacher(tmp_path / "teacher")


@pytest.mark.parametrize("name", ["model.safetensors", "teacher.json"])
@pytest.mark.parametrize("fault", ["cut", "swapped"])
def test_a_damaged_teacher_is_refused(tmp_path: Path, name: str, fault: str) -> None:
    save_teacher(tmp_path, network(TABLE, LARGE, seed=1))
    path = tmp_path / name
    if fault == "cut":
        path.write_bytes(path.read_bytes()[:50])
    else:
        save_teacher(tmp_path / "other", network(TABLE, LARGE, seed=2))
        path.write_bytes((tmp_path / "other" / name).read_bytes())
    with pytest.raises(CheckpointError):
        load_teacher(tmp_path)


def test_a_teacher_of_another_task_is_refused(tmp_path: Path) -> None:
    save_teacher(tmp_path, network(TABLE, LARGE))
    with pytest.raises(CheckpointError, match="another task"):
        load_teacher(tmp_path, IMAGES)


def test_records_without_a_label_teach_nothing() -> None:
    whole = records(TABLE, 60)
    some = Records(whole.inputs, np.where(np.arange(60) < 20, -1, whole.labels))
    one, other = (fit_teacher(examples, TABLE, SMALL, TRAINING, seed=3) for examples in (some, whole.take(np.arange(20, 60))))
    assert (to_vector(one) == to_vector(other)).all()
    with pytest.raises(EmptyInstitutionError, match="labelled"):
        fit_teacher(Records(whole.inputs, np.full(60, -1)), TABLE, SMALL, TRAINING, seed=3)
