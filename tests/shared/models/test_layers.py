"""Layers: explicit randomness, and a convolution that is plain at rest."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from shared.models.layers import Dropout, Linear, StandardisedConv, initialise, use_dropout
from shared.models.seeds import generator


def test_making_and_filling_leave_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    layers = torch.nn.Sequential(Linear(4, 3), StandardisedConv(2, 3, 3), Dropout(0.5))
    initialise(layers, generator(1, "w"))
    use_dropout(layers, generator(1, "d"))
    layers[2](torch.ones(5))
    assert torch.equal(before, torch.random.get_rng_state())


def test_linear_starts_as_torchs_own() -> None:
    layer = Linear(100, 200)
    initialise(layer, generator(1, "w"))
    assert layer.weight.abs().max() <= 0.1
    assert layer.weight.std().item() == pytest.approx(0.1 / 3**0.5, rel=0.05)


def test_standardised_weights_have_mean_zero_and_their_gain_whatever_the_parameters() -> None:
    layer = StandardisedConv(3, 4, 3, gain=1.5)
    initialise(layer, generator(1, "w"))
    with torch.no_grad():
        layer.weight.mul_(7).add_(3)
    weight = layer.plain_weight()
    torch.testing.assert_close(weight.mean(dim=(1, 2, 3)), torch.zeros(4), atol=1e-6, rtol=0)
    torch.testing.assert_close(weight.square().sum(dim=(1, 2, 3)), torch.full((4,), 1.5**2), rtol=1e-4, atol=0)


def test_standardised_convolution_is_a_plain_one_with_its_plain_weights() -> None:
    layer = StandardisedConv(3, 4, 3, stride=2)
    initialise(layer, generator(1, "w"))
    maps = torch.randn(2, 3, 9, 9, generator=generator(1, "x"))
    torch.testing.assert_close(layer(maps), functional.conv2d(maps, layer.plain_weight(), layer.bias, 2, 1))


def test_dropout_keeps_the_mean_and_repeats_by_its_generator() -> None:
    layer, values = Dropout(0.25), torch.ones(100_000)
    layer.generator = generator(3, "d")
    first = layer(values)
    assert first.mean().item() == pytest.approx(1.0, abs=0.02)
    assert (first == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    layer.generator = generator(3, "d")
    assert torch.equal(first, layer(values))


@pytest.mark.parametrize("reason", ["evaluating", "no generator", "rate 0"])
def test_dropout_is_off(reason: str) -> None:
    layer = Dropout(0.0 if reason == "rate 0" else 0.5)
    layer.generator = None if reason == "no generator" else generator(1, "d")
    layer.train(reason != "evaluating")
    values = torch.rand(100)
    assert torch.equal(layer(values), values)
