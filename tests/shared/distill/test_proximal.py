"""The anchor is half the squared distance from the start, and its gradient the distance."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from shared.distill.proximal import Anchor
from tests.support.shown import some


@given(st.integers(0, 100), st.floats(0.0, 10.0))
def test_by_hand(seed: int, mu: float) -> None:
    parameters = [nn.Parameter(some(3, 2, seed=seed)), nn.Parameter(some(4, seed=seed))]
    anchor, moves = Anchor(parameters, mu), [some(3, 2, seed=seed + 1), some(4, seed=seed + 1)]
    assert anchor.pull().item() == 0.0
    with torch.no_grad():
        for parameter, move in zip(parameters, moves, strict=True):
            parameter.add_(move)
    value = anchor.pull()
    value.backward()  # type: ignore[no-untyped-call]
    assert value.item() == pytest.approx(mu / 2 * sum(float(move.square().sum()) for move in moves))
    for parameter, move in zip(parameters, moves, strict=True):
        torch.testing.assert_close(parameter.grad, mu * move)
