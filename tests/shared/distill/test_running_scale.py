"""Losses of any scale start at 1, and the mean is an average of what was seen in training alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.distill.running_scale import DECAY, RunningScale


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8))
def test_by_hand(losses: list[float]) -> None:
    scale, mean = RunningScale().double(), losses[0]
    for place, loss in enumerate(losses):
        mean = DECAY * mean + (1 - DECAY) * loss if place else loss
        assert scale(torch.tensor(loss, dtype=torch.float64)).item() == pytest.approx(loss / mean)


@given(st.floats(1e-2, 1e2))
def test_the_unit_of_a_loss_does_not_matter(unit: float) -> None:
    plain, scaled = RunningScale().double(), RunningScale().double()
    for loss in torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64):
        torch.testing.assert_close(scaled(unit * loss), plain(loss))


def test_the_mean_carries_no_gradient_and_rests_outside_training() -> None:
    scale, loss = RunningScale(), torch.tensor(4.0, requires_grad=True)
    scale(loss).backward()
    assert loss.grad is not None
    assert loss.grad.item() == 0.25
    scale.eval()
    assert scale(torch.tensor(8.0)).item() == 2.0
    assert scale.mean.item() == 4.0


def test_no_loss_is_scaled_to_none_that_is_no_number() -> None:
    assert RunningScale()(torch.tensor(0.0)).item() == 0.0


def test_the_mean_goes_on_from_its_state() -> None:
    one, other = RunningScale(), RunningScale()
    one(torch.tensor(4.0))
    other.load_state_dict(one.state_dict())
    assert other(torch.tensor(8.0)).item() == one(torch.tensor(8.0)).item()
