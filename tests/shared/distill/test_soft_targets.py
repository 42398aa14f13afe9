"""Soft targets against the formula written out, and what a teacher's constant does not change."""

from __future__ import annotations

import pytest
import torch

from shared.distill.soft_targets import SoftTargets
from shared.models.features import Features

DRAW = torch.Generator().manual_seed(4)
STUDENT, TEACHER = (torch.randn(5, 3, generator=DRAW, dtype=torch.float64) for _ in range(2))
NONE = torch.full((5,), -1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_term_by_hand(temperature: float) -> None:
    target, log = (TEACHER / temperature).softmax(1), (STUDENT / temperature).log_softmax(1)
    expected = temperature**2 * (target * (target.log() - log)).sum(1)
    torch.testing.assert_close(SoftTargets(temperature)(Features(STUDENT), Features(TEACHER), NONE), expected)


def test_a_constant_on_all_logits_changes_nothing_and_the_same_answers_cost_nothing() -> None:
    term = SoftTargets(2.0)
    torch.testing.assert_close(
        term(Features(STUDENT), Features(TEACHER + 3.0), NONE), term(Features(STUDENT - 1.0), Features(TEACHER), NONE)
    )
    assert float(term(Features(STUDENT), Features(STUDENT), NONE).abs().max()) < 1e-12
