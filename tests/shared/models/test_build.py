"""A model is a function of its settings and seed; what does not fit is said."""

from __future__ import annotations

import pytest
import torch

from shared.errors import ConfigError
from shared.models import build, count_parameters, to_vector
from shared.models.build import parameters_of
from shared.settings import NetworkSettings
from shared.task import Task
from shared.work import Normalisation
from tests.support.networks import IMAGES, LARGE, SMALL, TABLE, TEXTS, inputs, network, normalisation
from tests.support.shapes import PRUNED


@pytest.mark.parametrize("task", [TABLE, IMAGES, TEXTS])
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


@pytest.mark.parametrize(
    ("task", "architecture", "kind"),
    [
        (TABLE, "auto", "TabularTransformer"),
        (TABLE, "transformer", "TabularTransformer"),
        (IMAGES, "auto", "ResidualNet"),
        (IMAGES, "convolutional", "ResidualNet"),
        (IMAGES, "transformer", "VisionTransformer"),
        (TEXTS, "auto", "TextTransformer"),
        (TEXTS, "encoder", "TextTransformer"),
        (TEXTS, "decoder", "TextTransformer"),
    ],
)
def test_each_family_of_tasks_has_its_architectures(task: Task, architecture: str, kind: str) -> None:
    settings = SMALL.model_copy(update={"architecture": architecture})
    assert type(build(settings, task, normalisation(task), seed=1)).__name__ == kind


@pytest.mark.parametrize(("task", "architecture"), [(TABLE, "encoder"), (IMAGES, "decoder"), (TEXTS, "convolutional")])
def test_another_family_s_architecture_is_refused(task: Task, architecture: str) -> None:
    with pytest.raises(ConfigError, match=f"architecture '{architecture}' is not one for a task of family '{task.family}'"):
        build(SMALL.model_copy(update={"architecture": architecture}), task, normalisation(task), seed=1)


def test_padding_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"task\.padding 20 is not one of the 20 ids"):
        build(SMALL, TEXTS.model_copy(update={"padding": 20}), normalisation(TEXTS), seed=1)


def test_the_expansion_sets_the_feed_forward_width() -> None:
    for task, default in ((TABLE, 2), (TEXTS, 4)):
        for expansion, times in ((None, default), (3, 3)):
            model = build(SMALL.model_copy(update={"expansion": expansion}), task, normalisation(task), seed=1)
            assert model.get_parameter("blocks.0.widen.weight").shape == (times * SMALL.width, SMALL.width)


@pytest.mark.parametrize("name", PRUNED)
def test_pruned_shapes_are_shapes_like_others(name: str) -> None:
    task, settings = PRUNED[name]
    model = network(task, settings)
    assert model(torch.from_numpy(inputs(task, 5))).shape == (5, len(task.labels))
    assert parameters_of(settings, task, normalisation(task)) == count_parameters(model)


def test_a_size_is_known_without_the_memory_for_it() -> None:
    huge = NetworkSettings(width=4096, depth=64, heads=64, head_width=4096, inner=65_536)
    assert parameters_of(huge, TABLE, normalisation(TABLE)) > 10**11


def test_stages_that_no_image_of_the_size_has_are_refused() -> None:
    with pytest.raises(ConfigError, match="stage_blocks has 3 stages, but images of this size have at most 2"):
        network(IMAGES, NetworkSettings(width=8, depth=3, stage_blocks=(1, 1, 1)))
