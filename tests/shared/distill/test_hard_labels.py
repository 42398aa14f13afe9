"""Records without a label are left out of what labels teach. Formulas: ``test_terms.py``."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.distill.hard_labels import HardLabels
from shared.distill.term import spread
from shared.models.features import Features
from tests.support.shown import gradients, reordered, some


@given(st.lists(st.integers(-1, 2), min_size=1, max_size=9), st.sampled_from([0.0, 0.1]))
def test_the_mean_is_over_labelled_records(labels: list[int], smoothing: float) -> None:
    logits, given_labels = some(len(labels), 3), torch.tensor(labels)
    found, labelled = HardLabels(smoothing)(Features(logits), None, given_labels), given_labels >= 0
    assert (found[~labelled] == 0).all()
    if labelled.any():
        expected = HardLabels(smoothing)(Features(logits[labelled]), None, given_labels[labelled]).mean()
        assert found.mean().item() == pytest.approx(expected.item())
    else:
        assert found.mean().item() == 0.0


def test_a_batch_without_labels_moves_nothing() -> None:
    logits = some(3, 3).requires_grad_()
    HardLabels()(Features(logits), None, torch.full((3,), -1)).mean().backward()
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_what_all_records_have_is_spread_over_all() -> None:
    losses = some(4).square()
    assert torch.equal(spread(losses, torch.ones(4, dtype=torch.bool)), losses)
    assert spread(losses, torch.tensor([True, False, False, False])).tolist() == pytest.approx([4 * losses[0].item(), 0, 0, 0])


def test_gradients_and_order() -> None:
    student = Features(some(3, 3))
    gradients(HardLabels(0.1), student, student, torch.tensor([0, -1, 1]))
    reordered(HardLabels(0.1), student, student, torch.tensor([0, -1, 1]))
