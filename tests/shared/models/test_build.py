"""A model is a function of its settings and seed; what does not fit is said."""

from __future__ import annotations

import pytest
import torch

from shared.errors import ConfigError
from shared.models import build, count_parameters, to_vector
from shared.settings import NetworkSettings
from shared.task import Task
from shared.work import Normalisation
from tests.support.networks import IMAGES, LARGE, SMALL, TABLE, network, normalisation


@pytest.mark.parametrize("task", [TABLE, IMAGES])
def test_equal_seeds_give_equal_weights_and_others_others(task: Task) -> None:
    torch.manual_seed(1)
    one = to_vector(network(task, seed=5))
    torch.manual_seed(2)
    assert (one == to_vector(network(task, seed=5))).all()
    assert (one != to_vector(network(task, seed=6))).any()


def test_a_new_model_does_not_train() -> None:
    assert not network().training


def test_the_settings_scale_the_family() -> None:
    assert count_parameters(network(TABLE, LARGE)) > 4 * count_parameters(network(TABLE, SMALL))


@pytest.mark.parametrize(
    ("settings", "scales", "said"),
    [
        (NetworkSettings(width=10, depth=1, heads=4), normalisation(TABLE), "width 10 is not a multiple of heads 4"),
        (SMALL, Normalisation(means=(0.0,), deviations=(1.0,)), "has 1 means, but the task has 2"),
        (SMALL, Normalisation(means=(0.0, 0.0), deviations=(1.0, 0.0)), "not positive"),
    ],
)
def test_what_does_not_fit_is_said(settings: NetworkSettings, scales: Normalisation, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build(settings, TABLE, scales, seed=1)
