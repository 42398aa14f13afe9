"""The family for small devices: the layout's promises, shapes, and nothing but weights."""

from __future__ import annotations

import pytest
import torch

from shared.models import build
from shared.models.build import shown_layers
from shared.models.mobile import BLOCKS, LAYOUT, MULTIPLE, STEM, stages
from shared.models.network import count_parameters
from shared.settings import NetworkSettings
from shared.task import ImageTask
from tests.support.networks import IMAGES, inputs, normalisation


def mobile(width: int = STEM, depth: int = BLOCKS) -> NetworkSettings:
    return NetworkSettings(width=width, depth=depth, architecture="mobile")


@pytest.mark.parametrize("width", [8, 16, 24, 32, 64])
@pytest.mark.parametrize("depth", range(1, BLOCKS + 1))
def test_a_net_is_the_first_blocks_of_the_layout(width: int, depth: int) -> None:
    found = stages(mobile(width, depth))
    assert sum(blocks for _, _, blocks, _, _ in found) == depth
    assert all(channels % MULTIPLE == 0 for _, channels, _, _, _ in found)
    assert [(stride, kernel) for *_, stride, kernel in found] == [(stride, kernel) for *_, stride, kernel in LAYOUT[: len(found)]]
    assert shown_layers(mobile(width, depth), IMAGES) == len(found)


def test_the_full_width_is_the_published_net() -> None:
    assert tuple(stages(mobile())) == LAYOUT


@pytest.mark.parametrize(("size", "channels", "depth"), [(8, 1, 3), (28, 3, 11), (64, 1, 16)])
def test_any_size_goes_through(size: int, channels: int, depth: int) -> None:
    task = ImageTask.model_validate({"family": "image", "labels": ("a", "b"), "size": size, "channels": channels})
    model = build(mobile(8, depth), task, normalisation(task), seed=1)
    batch = torch.from_numpy(inputs(task, 3))
    found = model.features(batch)
    assert found.logits.shape == (3, 2)
    assert torch.equal(model(batch), found.logits)
    assert len(found.hidden_states) == len(found.attentions) + 1 == shown_layers(model.settings, task) + 1
    assert {name for name, _ in model.named_buffers()} == {"mean", "deviation"}


def test_the_expansion_can_be_set() -> None:
    narrow = mobile(depth=4).model_copy(update={"expansion": 3})
    sizes = [count_parameters(build(one, IMAGES, normalisation(IMAGES), seed=1)) for one in (narrow, mobile(depth=4))]
    assert sizes[0] < sizes[1]
