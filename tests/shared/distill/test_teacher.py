"""Teachers: fitted on training records alone, kept whole, refused when damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shared.data.records import UNLABELLED, Records
from shared.distill import evaluate
from shared.distill.teacher import fit_teacher, load_teacher, own_normalisation, save_teacher
from shared.errors import CheckpointError, EmptyInstitutionError
from shared.models import to_vector
from shared.settings import NetworkSettings, TrainingSettings
from shared.task import Task
from tests.support.networks import IMAGES, LARGE, TABLE, network, records

TRAINING = TrainingSettings(epochs=12, batch_size=16, learning_rate=5e-3)


@pytest.mark.parametrize("task", [TABLE, IMAGES])
def test_a_teacher_learns_and_repeats(task: Task) -> None:
    settings = NetworkSettings(width=16, depth=2, dropout=0.1)
    one = fit_teacher(records(task, 120), task, settings, TRAINING, seed=3)
    assert evaluate(one, records(task, 60, seed=1), len(task.labels)).accuracy > 0.85
    assert (to_vector(one) == to_vector(fit_teacher(records(task, 120), task, settings, TRAINING, seed=3))).all()
    assert (to_vector(one) != to_vector(fit_teacher(records(task, 120), task, settings, TRAINING, seed=4))).any()
    assert not one.training


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


def test_records_without_a_label_fit_nothing() -> None:
    some = records(TABLE, 40)
    more = Records(np.concatenate([some.inputs, some.inputs[:9]]), np.concatenate([some.labels, np.full(9, UNLABELLED)]))
    fitted = [fit_teacher(given, TABLE, LARGE, TrainingSettings(epochs=2), seed=3) for given in (some, more)]
    np.testing.assert_array_equal(to_vector(fitted[0]), to_vector(fitted[1]))
    with pytest.raises(EmptyInstitutionError):
        fit_teacher(Records(some.inputs[:9], np.full(9, UNLABELLED)), TABLE, LARGE, TrainingSettings(epochs=1), seed=3)
