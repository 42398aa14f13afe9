"""Boosted trees (LightGBM) as a teacher of tables: what is best on rows of few columns, told as soft targets alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shared.data.records import Records
from shared.data.split import hold_out
from shared.errors import CheckpointError, ConfigError
from shared.files import PRIVATE_MODE, read_bytes, write_atomic
from shared.models.features import Features
from shared.models.seeds import derive
from shared.task import TabularTask, Task
from shared.teachers.showing import digest_of, labels_of, log_probabilities, telling_file
from shared.teachers.tuning import labelled

MODEL_FILE = "model.txt"
MOST_ROUNDS, PATIENCE = 500, 30
"""Trees of a label at most, and rounds without a better validation loss after which no more are grown."""
VALIDATION_FRACTION = 0.2
FEWEST_TO_VALIDATE = 30
"""Fewer training records than this are all learnt from, for :data:`UNVALIDATED_ROUNDS` rounds."""
UNVALIDATED_ROUNDS = 50
_CLASSIFIERS = ("binary", "multiclass", "multiclassova")


def open_boosting(path: Path, task: Task) -> BoostedTeacher:
    """The trees in ``model.txt``. Raises :class:`CheckpointError` where they are damaged, no classifier, or another task's."""
    file = telling_file(path, MODEL_FILE)
    if not isinstance(task, TabularTask):
        raise CheckpointError(f"the trees in {file} read rows of a table, not {task.family}s; choose another teacher")
    return BoostedTeacher(file, task)


def fit_boosting(records: Records, task: Task, seed: int) -> str:
    """Trees fitted on training records alone, as LightGBM's text; a seeded fifth of them decides when to stop.

    Equal arguments give equal text on one machine: one thread, every draw from ``seed``. Raises :class:`ConfigError` for a task
    that is no table and :class:`EmptyInstitutionError` without records.
    """
    import lightgbm

    if not isinstance(task, TabularTask):
        raise ConfigError("boosted trees learn from tables alone; fit a teacher of another kind for this task")
    parts = _parts(labelled(records), seed)
    closed = [place for place, column in enumerate(task.columns) if column.kind == "categorical"]
    data: list[Any] = []
    for part in parts:
        known: dict[str, Any] = {"categorical_feature": closed, "reference": data[0] if data else None, "params": {"verbosity": -1}}
        data.append(lightgbm.Dataset(part.inputs.astype(np.float64), part.labels, **known))
    stops: list[Any] = [lightgbm.early_stopping(PATIENCE, verbose=False)] if len(data) > 1 else []
    rounds = MOST_ROUNDS if stops else UNVALIDATED_ROUNDS
    booster = lightgbm.train(_settings(task, seed), data[0], rounds, valid_sets=data[1:], callbacks=stops)
    text: str = booster.model_to_string(num_iteration=booster.best_iteration)
    return text


def save_boosting(folder: Path, text: str) -> None:
    """Writes ``model.txt``, private to the owner, whole or not at all."""
    write_atomic(folder / MODEL_FILE, text.encode(), mode=PRIVATE_MODE)


class BoostedTeacher:
    """LightGBM's classifier as a :class:`Teacher`: ``logits = log p``."""

    layers = 0

    def __init__(self, file: Path, task: TabularTask) -> None:
        text = read_bytes(file, what="teacher").decode("utf-8", "replace")
        self._booster = _loaded(text, file)
        self._check(task, file, text)
        self.parameters = sum(int(count) for count in re.findall(r"^num_leaves=(\d+)$", text, re.MULTILINE))
        self.digest = digest_of([file], "boosting")

    def longest(self, records: Records) -> int:
        """0: a row has no tokens that could be padded."""
        return 0

    def show(self, records: Records, *, hidden: Sequence[int] = (), attentions: Sequence[int] = ()) -> Features:
        """As :meth:`Teacher.show`; trees have no inside."""
        found: NDArray[Any] = np.asarray(self._booster.predict(records.inputs.astype(np.float64), num_threads=1))
        both = np.stack([1 - found, found], axis=1) if found.ndim == 1 else found
        return Features(log_probabilities(torch.from_numpy(both)))

    def _check(self, task: TabularTask, file: Path, text: str) -> None:
        objective = re.search(r"^objective=(\w+)", text, re.MULTILINE)
        if objective is None or objective[1] not in _CLASSIFIERS:
            raise CheckpointError(f"the trees in {file} are no classifier; fit them with objective 'binary' or 'multiclass'")
        labels = max(self._booster.num_model_per_iteration(), 2)
        if labels != len(task.labels) or self._booster.num_feature() != len(task.columns):
            raise CheckpointError(
                f"the trees in {file} read {self._booster.num_feature()} columns and know {labels} labels, but the task has "
                f"{len(task.columns)} and {labels_of(task)}; fit them on the task's columns, in its order"
            )


def _loaded(text: str, file: Path) -> Any:
    import lightgbm

    # The library reads on past the end of a cut text: the marks that it writes itself must be there.
    whole = text.startswith("tree\n") and "\nend of trees\n" in text and "\nend of parameters\n" in text
    try:
        if not whole:
            raise ValueError("not a whole model")
        return lightgbm.Booster(model_str=text)
    except (lightgbm.basic.LightGBMError, ValueError, TypeError) as error:
        raise CheckpointError(f"the trees in {file} are damaged; fit the teacher again or restore a copy") from error


def _parts(records: Records, seed: int) -> list[Records]:
    if len(records) < FEWEST_TO_VALIDATE:
        return [records]
    split = hold_out(records, VALIDATION_FRACTION, seed=seed, site="teacher-validation")
    return [split.train, split.test]


def _settings(task: TabularTask, seed: int) -> dict[str, Any]:
    labels = len(task.labels)
    return {
        "objective": "binary" if labels == 2 else "multiclass",
        **({} if labels == 2 else {"num_class": labels}),
        "learning_rate": 0.05,
        "num_leaves": 15,
        "min_data_in_leaf": 5,
        "feature_fraction": 0.8,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 1.0,
        "seed": derive(seed, "boosting") % 2**31,
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
