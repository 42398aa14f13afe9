"""Students of every family with records to look at, and the ranges of their activations."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shared.compress import calibrate
from shared.models import Network
from shared.settings import NetworkSettings
from shared.task import ImageTask, Task
from tests.support.networks import IMAGES, TABLE, TEXTS, network

PHOTOGRAPHS = ImageTask(family="image", labels=("a", "b", "c"), size=32, channels=3)
MANY_WORDS = TEXTS.model_copy(update={"vocabulary": 3000})
FAMILIES: dict[str, tuple[Task, NetworkSettings]] = {
    "transformer": (TABLE, NetworkSettings(width=16, depth=2, heads=4)),
    "perceptron": (TABLE, NetworkSettings(width=16, depth=2, architecture="perceptron")),
    "convolutional": (IMAGES, NetworkSettings(width=8, depth=3)),
    "mobile": (PHOTOGRAPHS, NetworkSettings(width=16, depth=3, architecture="mobile")),
    "vision": (IMAGES, NetworkSettings(width=16, depth=2, heads=4, architecture="transformer")),
    "encoder": (MANY_WORDS, NetworkSettings(width=16, depth=2, heads=4, embedding_width=8)),
    "decoder": (MANY_WORDS, NetworkSettings(width=16, depth=2, heads=4, architecture="decoder")),
}


def student_of(family: str) -> Network:
    """An untrained student whose answers differ from record to record."""
    task, settings = FAMILIES[family]
    model = network(task, settings)
    if task.family == "text":
        with torch.no_grad():
            model.get_parameter("head.weight").mul_(20)
    return model


def ranges_of(content: bytes, task: Task, inputs: NDArray[Any]) -> dict[str, tuple[float, float]]:
    """Both passes of calibration in one place."""
    return calibrate.ranges_of(content, inputs, padding=task.padding if task.family == "text" else None)


def differing(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Root mean square difference relative to the spread over the records."""
    return float(np.sqrt(np.mean((found - expected) ** 2)) / (expected - expected.mean(axis=0)).std())
