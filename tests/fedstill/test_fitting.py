"""Every kind of teacher is fitted where it can learn the task, goes on after a kill, and is refused elsewhere before anything is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedstill.fitting import Fitting, Kind, check_kind, fit_at
from shared.distill.resume import Resume
from shared.errors import ConfigError, MissingFileError
from shared.settings import NetworkSettings, TrainingSettings
from shared.task import Task
from shared.teachers import kind_of, open_teacher
from tests.support.networks import IMAGES, TABLE, records
from tests.support.teachers import TEXT, make_reader, texts

SMALL = NetworkSettings(width=8, depth=1, heads=2)


class Killed(BaseException):
    """A process that ends."""


def wish(kind: Kind, task: Task, base: str | None = None) -> Fitting:
    return Fitting(kind, task, SMALL, TrainingSettings(epochs=1), seed=3, base=base)


@pytest.mark.parametrize(
    ("kind", "base", "task", "said"),
    [
        ("network", "models/bert", TEXT, "leave it out or choose 'pretrained'"),
        ("boosting", None, IMAGES, "from tables alone, not images"),
        ("boosting", None, TEXT, "from tables alone, not texts"),
        ("pretrained", None, TABLE, "no pretrained teacher of tables"),
        ("pretrained", "resnet", IMAGES, "efficientnet-lite0 or efficientnet-lite2"),
    ],
)
def test_what_cannot_be_fitted_is_said_first(kind: Kind, base: str | None, task: Task, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_kind(kind, base, task)


def test_what_can_be_fitted_passes_and_a_missing_encoder_is_named(tmp_path: Path) -> None:
    check_kind("network", None, TEXT)
    check_kind("boosting", None, TABLE)
    check_kind("pretrained", "efficientnet-lite2", IMAGES)
    check_kind("pretrained", str(tmp_path), TEXT)
    with pytest.raises(MissingFileError, match="gone is not there"):
        check_kind("pretrained", str(tmp_path / "gone"), TEXT)


def test_one_kind_takes_the_place_of_another(tmp_path: Path) -> None:
    for kind in ("network", "boosting", "network"):
        fit_at(tmp_path, records(TABLE, 40), wish(kind, TABLE))
        assert kind_of(tmp_path) == kind
        assert open_teacher(tmp_path, TABLE).show(records(TABLE, 3)).logits.shape == (3, len(TABLE.labels))


def test_a_killed_fit_of_a_pretrained_encoder_goes_on_to_the_same_teacher(tmp_path: Path) -> None:
    made = wish("pretrained", TEXT, str(make_reader(tmp_path / "base")))
    fit_at(tmp_path / "whole", texts(), made)
    resume, steps = Resume(tmp_path / "fit.safetensors", "key", interval_s=0), []
    many = texts().take(np.tile(np.arange(6), 4))
    fit_at(tmp_path / "many", many, made)

    def at_step(done: int, total: int) -> None:
        steps.append(done)
        if steps == [1, 2, 3, 4]:
            raise Killed

    with pytest.raises(Killed):
        fit_at(tmp_path / "cut", many, made, resume=resume, on_step=at_step)
    assert not (tmp_path / "cut").exists()
    assert (tmp_path / "fit.safetensors").exists()
    fit_at(tmp_path / "cut", many, made, resume=resume, on_step=at_step)
    assert steps[4] > 1
    assert not (tmp_path / "fit.safetensors").exists()
    weights = {name: (tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "many", "cut")}
    assert weights["many"] == weights["cut"] != weights["whole"]
