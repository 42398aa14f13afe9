"""Tasks with heads, and their records, that the tests of heads share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shared.data.records import Records
from shared.task import Head, Strategy, Task
from tests.support.networks import IMAGES, TABLE, inputs

LABELS = ("a", "b", "c", "x", "y", "p", "q", "r")
SIZES = {"abc": 3, "xy": 2, "pqr": 3}


def heads(*strategies: Strategy, weights: tuple[float, ...] = (1.0, 1.0, 1.0)) -> tuple[Head, ...]:
    """Three heads of 3, 2 and 3 labels."""
    chosen = strategies or ("classes",) * 3
    return tuple(
        Head(name=name, labels=tuple(name), strategy=kind, weight=weight) for name, kind, weight in zip(SIZES, chosen, weights, strict=True)
    )


HEADS = heads()
TABLES: Task = TABLE.model_copy(update={"labels": LABELS, "heads": HEADS})
PICTURES: Task = IMAGES.model_copy(update={"labels": LABELS, "heads": heads("classes", "surface", "structure")})


def labels(*values: int) -> torch.Tensor:
    return torch.tensor(values)


def numbered(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def records(task: Task, only: int | None = None, count: int = 48, *, seed: int = 0) -> Records:
    """Records of all heads, or of the head ``only``, whose labels can be learnt from a table's dose or an image's rows."""
    values: Any = inputs(task, count, seed=seed)
    found = np.random.default_rng(seed).permutation(np.arange(count) % len(LABELS))
    if only is not None:
        start = (0, 3, 5)[only]
        found = start + found % list(SIZES.values())[only]
    if task.family == "image":
        for place, label in enumerate(found):
            values[place, label] //= 4
    else:
        values[:, 2] = found
    return Records(values, found.astype(np.int64))
