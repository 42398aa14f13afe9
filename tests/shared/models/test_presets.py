"""Presets make whole configurations, and students of at most a tenth of their teachers."""

from __future__ import annotations

import pytest

from shared.config import FederationConfig
from shared.data import builtin_task
from shared.models import build, count_parameters
from shared.models.presets import preset
from shared.settings import NetworkSettings
from shared.task import ImageTask, Task, numeric_inputs
from shared.work import Normalisation
from tests.support.networks import IMAGES, TABLE, TEXTS

RETINA = ImageTask(family="image", labels=("0", "1", "2", "3", "4"), size=28, channels=3)
TARGETS: list[tuple[str | Task, Task]] = [
    ("heart", builtin_task("heart")),
    ("digits", builtin_task("digits")),
    (TABLE, TABLE),
    (IMAGES, IMAGES),
    (TEXTS, TEXTS),
    (TEXTS.model_copy(update={"vocabulary": 30_000}), TEXTS.model_copy(update={"vocabulary": 30_000})),
    (RETINA, RETINA),
    (RETINA.model_copy(update={"size": 128}), RETINA.model_copy(update={"size": 128})),
]


def size(settings: NetworkSettings, task: Task) -> int:
    count = numeric_inputs(task)
    return count_parameters(build(settings, task, Normalisation(means=(0.0,) * count, deviations=(1.0,) * count), seed=1))


@pytest.mark.parametrize(("target", "task"), TARGETS)
def test_a_preset_is_all_that_a_federation_needs(target: str | Task, task: Task) -> None:
    config = FederationConfig.model_validate({"name": "x", "task": task, "tokenizer_path": "tokenizer.json", **preset(target)})
    assert size(config.student, task) * 10 <= size(config.teacher, task)
    assert config.rounds >= 10


def test_a_preset_for_a_task_leaves_the_split_to_its_user() -> None:
    assert "split" not in preset(TABLE)


def test_a_preset_is_the_callers_own() -> None:
    preset("heart")["rounds"] = 1
    assert preset("heart")["rounds"] > 1


def test_an_unknown_name_has_no_preset() -> None:
    with pytest.raises(KeyError):
        preset("nothing")
