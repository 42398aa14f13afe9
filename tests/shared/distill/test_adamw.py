"""The flat optimiser takes the steps of torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from shared.distill.adamw import LARGEST_GRADIENT, FlatAdamW
from shared.models.seeds import generator


def make() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2))
    for place, parameter in enumerate(model.parameters()):
        nn.init.normal_(parameter, generator=generator(place, "w"))
    return model


def test_steps_are_torchs() -> None:
    ours, theirs = make(), make()
    optimizer = FlatAdamW(list(ours.parameters()), 0.1)
    matrices = [parameter for parameter in theirs.parameters() if parameter.dim() == 2]
    others = [parameter for parameter in theirs.parameters() if parameter.dim() == 1]
    twin = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=0.01)
    for step in range(20):
        inputs = torch.randn(5, 4, generator=generator(step, "x"))
        ours(inputs).square().mean().div(10).backward()
        optimizer.step(0.01)
        twin.zero_grad()
        theirs(inputs).square().mean().div(10).backward()
        twin.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_parameters_stay_the_models_own() -> None:
    model = make()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = FlatAdamW(list(model.parameters()), 0.0)
    assert all(torch.equal(one, parameter) for one, parameter in zip(before, model.parameters(), strict=True))
    optimizer.values.zero_()
    assert all((parameter == 0).all() for parameter in model.parameters())


def test_long_gradients_are_cut_and_then_cleared() -> None:
    parameter = nn.Parameter(torch.zeros(2, 2))
    optimizer = FlatAdamW([parameter], 0.0)
    optimizer.gradients.fill_(1e6)
    optimizer.step(0.1)
    assert optimizer._means.norm().item() == pytest.approx(0.1 * LARGEST_GRADIENT, rel=1e-4)
    assert (optimizer.gradients == 0).all()
    torch.testing.assert_close(parameter.detach(), torch.full((2, 2), -0.1))
