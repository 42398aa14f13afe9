"""The second device that tests have computes as the CPU does, and refuses what a GPU refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.support.faraway import FAR, faraway


def test_it_computes_as_the_cpu_does_and_gradients_too() -> None:
    inputs, weights = torch.randn(2, 3, generator=torch.Generator().manual_seed(1)), torch.ones(3, 3)
    near = weights.clone().requires_grad_()
    (inputs @ near).square().mean().backward()
    with faraway():
        far = nn.Parameter(weights.to(FAR))
        value = (inputs.to(FAR) @ far).square().mean()
        value.backward()
        assert value.device == FAR
        assert far.grad is not None
        assert near.grad is not None
        assert torch.equal(far.grad.cpu(), near.grad)


def test_two_devices_never_meet() -> None:
    with faraway(), pytest.raises(RuntimeError, match="two devices"):
        torch.ones(3).to(FAR) + torch.ones(3)
