"""Settings that were measured to work, for the built-in records and as a first draft for data of one's own."""

from __future__ import annotations

from typing import Any

from shared.settings import DistillationSettings, NetworkSettings, TrainingSettings
from shared.task import Task

_HEART: dict[str, Any] = {
    "rounds": 12,
    "teacher": NetworkSettings(width=64, depth=3, heads=4, dropout=0.1),
    "student": NetworkSettings(width=16, depth=2, heads=4),
    "teacher_training": TrainingSettings(epochs=30, batch_size=32, learning_rate=1e-3, weight_decay=1e-2),
    "training": TrainingSettings(epochs=4, batch_size=32, learning_rate=3e-3, weight_decay=1e-2),
    "distillation": DistillationSettings(),
}
_DIGITS: dict[str, Any] = {
    "rounds": 12,
    "teacher": NetworkSettings(width=32, depth=3, dropout=0.1),
    "student": NetworkSettings(width=8, depth=2),
    "teacher_training": TrainingSettings(epochs=20, batch_size=32, learning_rate=2e-3, weight_decay=1e-2),
    "training": TrainingSettings(epochs=2, batch_size=32, learning_rate=4e-3, weight_decay=1e-2),
    "distillation": DistillationSettings(),
}
_FAMILIES: dict[str, dict[str, Any]] = {"tabular": _HEART, "image": _DIGITS}
_BUILTIN = {"heart": _HEART, "digits": _DIGITS}


def preset(target: str | Task) -> dict[str, Any]:
    """Fields of ``FederationConfig`` for ``heart``, ``digits``, or any task of a family; task, data and split are not among them.

    Raises ``KeyError`` for a name that is neither.
    """
    return dict(_BUILTIN[target] if isinstance(target, str) else _FAMILIES[target.family])
