"""Small tasks, records and models that the tests of models and distillation share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.data.records import Records
from shared.models import Network, build
from shared.settings import NetworkSettings
from shared.task import CategoricalColumn, ImageTask, NumericColumn, TabularTask, Task, TextTask
from shared.work import Normalisation

TABLE = TabularTask(
    family="tabular",
    label="y",
    labels=("no", "yes"),
    columns=(
        NumericColumn(name="age"),
        CategoricalColumn(kind="categorical", name="kind", categories=("a", "b", "c")),
        NumericColumn(name="dose"),
        CategoricalColumn(kind="categorical", name="side", categories=("left", "right")),
    ),
)
IMAGES = ImageTask(family="image", labels=("a", "b", "c"), size=8, channels=1)
TEXTS = TextTask(family="text", labels=("a", "b", "c"), tokenizer_sha256="0" * 64, vocabulary=20, max_tokens=12)
SMALL = NetworkSettings(width=8, depth=2, heads=2)
LARGE = NetworkSettings(width=16, depth=3, heads=4)


def normalisation(task: Task) -> Normalisation:
    if task.family == "image":
        return Normalisation(means=(100.0,) * task.channels, deviations=(60.0,) * task.channels)
    if task.family == "text":
        return Normalisation()
    return Normalisation(means=(50.0, 2.0), deviations=(10.0, 0.5))


def network(task: Task = TABLE, settings: NetworkSettings = SMALL, *, seed: int = 1) -> Network:
    return build(settings, task, normalisation(task), seed=seed)


def inputs(task: Task, count: int, *, seed: int = 0) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    if task.family == "image":
        return rng.integers(0, 256, (count, task.size, task.size, task.channels), dtype=np.uint8)
    if task.family == "text":
        lengths = rng.integers(0, task.max_tokens + 1, count)
        ids = rng.integers(1, task.vocabulary, (count, task.max_tokens), dtype=np.int32)
        return np.where(np.arange(task.max_tokens) < lengths[:, None], ids, np.int32(task.padding))
    rows = np.stack([rng.normal(50, 10, count), rng.integers(0, 3, count), rng.normal(2, 0.5, count), rng.integers(0, 2, count)], axis=1)
    rows[rng.random(rows.shape) < 0.15] = np.nan
    return rows.astype(np.float32)


def records(task: Task = TABLE, count: int = 40, *, seed: int = 0) -> Records:
    """Records whose labels can be learnt: from the dose, the brightest third of the image, or the first word."""
    values = inputs(task, count, seed=seed)
    if task.family == "image":
        labels = np.arange(count) % len(task.labels)
        for place, label in enumerate(labels):
            values[place, 2 * label : 2 * label + 3] //= 4
        return Records(values, labels.astype(np.int64))
    if task.family == "text":
        labels = np.arange(count) % len(task.labels)
        values[:, 0] = labels + 1
        return Records(values, labels.astype(np.int64))
    labels = (np.nan_to_num(values[:, 2], nan=2.0) > 2.0).astype(np.int64)
    labels[:2] = (0, 1)
    return Records(values, labels)
