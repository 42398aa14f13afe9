"""Divergences are torch's own, and bear what a teacher rules out."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from shared.distill.divergence import divergence, softened
from tests.support.shown import some


@given(st.integers(0, 1000), st.floats(0.1, 20.0))
def test_it_is_torchs_and_never_negative(seed: int, temperature: float) -> None:
    found, wanted = (softened(some(4, 6, seed=seed + place), temperature) for place in range(2))
    expected = functional.kl_div(found, wanted, reduction="none", log_target=True).sum(dim=-1)
    torch.testing.assert_close(divergence(found, wanted), expected)
    assert (divergence(found, wanted) >= -1e-12).all()
    assert divergence(wanted, wanted).abs().max().item() == pytest.approx(0.0, abs=1e-12)


def test_what_the_teacher_rules_out_adds_nothing() -> None:
    wanted = softened(torch.tensor([[0.0, -torch.inf, 0.0]]), 1.0)
    found = softened(torch.zeros(1, 3), 1.0).requires_grad_()
    value = divergence(found, wanted)
    assert value.item() == pytest.approx(torch.log(torch.tensor(1.5)).item())
    value.sum().backward()  # type: ignore[no-untyped-call]
    assert found.grad is not None
    assert found.grad.tolist() == [pytest.approx([-0.5, 0.0, -0.5])]


def test_a_teacher_that_is_no_number_is_not_hidden() -> None:
    assert divergence(torch.zeros(1, 2), torch.tensor([[torch.nan, 0.0]])).isnan().all()
