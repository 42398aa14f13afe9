"""The family for images: layouts, shapes, and activations that keep their size through depth."""

from __future__ import annotations

import pytest
import torch

from shared.models import build
from shared.models.residual import MOST_STAGES, SMALLEST_MAP, layout
from shared.settings import NetworkSettings
from shared.task import ImageTask
from tests.support.networks import IMAGES, inputs, network, normalisation


@pytest.mark.parametrize("size", [4, 5, 7, 8, 13, 28, 32, 33, 64, 128, 224])
@pytest.mark.parametrize("depth", [1, 2, 3, 7])
def test_layout_keeps_its_promises(size: int, depth: int) -> None:
    stages = layout(NetworkSettings(width=8, depth=depth), size)
    assert sum(blocks for blocks, _, _ in stages) == depth
    assert all(blocks >= 1 for blocks, _, _ in stages)
    assert [channels for _, channels, _ in stages] == [8 * 2**place for place in range(len(stages))]
    assert len(stages) <= MOST_STAGES
    left = size
    for place, (_, _, stride) in enumerate(stages):
        left = -(-left // stride)
        assert place == 0 or left >= SMALLEST_MAP


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (28, 3), (33, 1), (64, 3)])
def test_any_size_goes_through(size: int, channels: int) -> None:
    task = ImageTask.model_validate({"family": "image", "labels": ("a", "b"), "size": size, "channels": channels})
    model = build(NetworkSettings(width=4, depth=3), task, normalisation(task), seed=1)
    found = model.features(torch.from_numpy(inputs(task, 2)))
    assert found.logits.shape == (2, 2)
    assert len(found.hidden_states) == len(found.attentions) + 1
    assert all(state.shape[1] <= 64 for state in found.hidden_states)


def test_forward_gives_the_logits_of_the_features() -> None:
    model, batch = network(IMAGES), torch.from_numpy(inputs(IMAGES, 5))
    assert torch.equal(model(batch), model.features(batch).logits)


def test_signals_neither_die_nor_explode_with_depth() -> None:
    model = build(NetworkSettings(width=16, depth=12), IMAGES, normalisation(IMAGES), seed=1)
    states = model.features(torch.from_numpy(inputs(IMAGES, 32))).hidden_states
    assert all(0.2 < float(state.detach().std()) < 5.0 for state in states)


def test_nothing_but_weights_is_shared() -> None:
    # No batch statistics: the only buffers are the constants of the normalisation.
    assert {name for name, _ in network(IMAGES).named_buffers()} == {"mean", "deviation"}
