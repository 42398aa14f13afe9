"""Boosted trees learn, repeat, and speak in logits."""

from __future__ import annotations

from pathlib import Path

import lightgbm
import numpy as np
import pytest
import torch

from shared.data.records import Records
from shared.errors import CheckpointError, ConfigError, EmptyInstitutionError
from shared.heads import answers
from shared.task import NumericColumn, TabularTask
from shared.teachers import kind_of, open_teacher
from shared.teachers.boosting import MODEL_FILE, fit_boosting, save_boosting
from tests.support import heads as headed
from tests.support.networks import IMAGES, TABLE, records

THREE = TabularTask(
    family="tabular", label="y", labels=("a", "b", "c"), columns=tuple(NumericColumn(name=name) for name in ("one", "two", "three"))
)


def three(count: int = 200) -> Records:
    values = np.random.default_rng(1).normal(size=(count, 3)).astype(np.float32)
    return Records(values, values.argmax(axis=1).astype(np.int64))


@pytest.mark.parametrize(
    ("task", "learnt", "held"), [(TABLE, records(TABLE, 300), records(TABLE, 80, seed=1)), (THREE, three(), three(80))]
)
def test_trees_learn_and_their_probabilities_come_back(tmp_path: Path, task: TabularTask, learnt: Records, held: Records) -> None:
    text = fit_boosting(learnt, task, seed=3)
    save_boosting(tmp_path, text)
    assert (tmp_path / MODEL_FILE).stat().st_mode & 0o777 == 0o600
    assert kind_of(tmp_path) == "boosting"
    teacher = open_teacher(tmp_path, task)
    found = teacher.show(held)
    assert (found.logits.argmax(dim=1).numpy() == held.labels).mean() > 0.85
    expected = lightgbm.Booster(model_str=text).predict(held.inputs.astype(np.float64))
    shown = found.logits.softmax(dim=1).numpy()
    np.testing.assert_allclose(shown[:, 1] if task is TABLE else shown, expected, atol=1e-5)
    assert (found.hidden_states, teacher.layers, teacher.longest(held)) == ((), 0, 0)
    assert teacher.parameters > 0
    assert torch.isfinite(found.logits).all()


def test_the_same_seed_grows_the_same_trees() -> None:
    learnt = records(TABLE, 100)
    text = fit_boosting(learnt, TABLE, seed=3)
    assert fit_boosting(learnt, TABLE, seed=3) == text
    assert fit_boosting(learnt, TABLE, seed=4) != text


def test_few_records_are_all_learnt_from_and_none_or_images_refused() -> None:
    assert fit_boosting(records(TABLE, 12), TABLE, seed=1).startswith("tree")
    with pytest.raises(EmptyInstitutionError):
        fit_boosting(records(TABLE, 5).take(np.array([], np.int64)), TABLE, seed=1)
    with pytest.raises(ConfigError, match="tables alone"):
        fit_boosting(records(IMAGES, 12), IMAGES, seed=1)


def test_trees_of_another_task_or_kind_are_refused(tmp_path: Path) -> None:
    save_boosting(tmp_path, fit_boosting(three(), THREE, seed=1))
    with pytest.raises(CheckpointError, match="read 3 columns and know 3 labels, but the task has 4 and 2 labels;"):
        open_teacher(tmp_path, TABLE)
    with pytest.raises(CheckpointError, match="not images"):
        open_teacher(tmp_path, IMAGES)
    data = lightgbm.Dataset(three().inputs, three().labels.astype(np.float64))
    save_boosting(tmp_path, lightgbm.train({"objective": "regression", "verbosity": -1, "num_threads": 1}, data, 3).model_to_string())
    with pytest.raises(CheckpointError, match="no classifier"):
        open_teacher(tmp_path, THREE)


@pytest.mark.parametrize("only", [None, 0, 1, 2])
def test_trees_of_one_head_s_records_answer_the_labels_of_all(tmp_path: Path, only: int | None) -> None:
    task, held = headed.TABLES, headed.records(headed.TABLES, only, 40, seed=2)
    save_boosting(tmp_path, fit_boosting(headed.records(task, only, 120), task, seed=1))
    found = open_teacher(tmp_path, task).show(held).logits.numpy()
    assert found.shape == (40, 8)
    assert np.isfinite(found).all()
    assert (answers(found, held.labels, task.heads) == held.labels).mean() > 0.9


def test_trees_that_know_one_head_s_labels_alone_are_refused(tmp_path: Path) -> None:
    task = headed.TABLES
    own = task.model_copy(update={"labels": headed.LABELS[:3], "heads": ()})
    save_boosting(tmp_path, fit_boosting(headed.records(task, 0, 120), own, seed=1))
    with pytest.raises(CheckpointError, match=r"know 3 labels, but the task has 4 and 8 labels \(of all 3 heads"):
        open_teacher(tmp_path, task)
