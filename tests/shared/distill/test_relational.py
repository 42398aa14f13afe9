"""The relational loss is Pearson's correlation, within records and within labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.distill.relational import RelationalTargets, unrelated
from shared.models.features import Features
from tests.support.shown import LABELS, gradients, reordered, some


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_by_hand(temperature: float) -> None:
    student, teacher = some(5, 4), some(5, 4, seed=1)
    q, p = (torch.softmax(x / temperature, dim=1).numpy() for x in (student, teacher))
    inter = [1 - np.corrcoef(p[record], q[record])[0, 1] for record in range(5)]
    intra = float(np.mean([1 - np.corrcoef(p[:, label], q[:, label])[0, 1] for label in range(4)]))
    found = RelationalTargets(temperature)(Features(student), Features(teacher), torch.zeros(5, dtype=torch.int64))
    assert found.tolist() == pytest.approx([temperature**2 * (one + intra) for one in inter])


@given(st.integers(0, 1000), st.floats(0.1, 5.0), st.floats(-3.0, 3.0))
def test_only_relations_count(seed: int, scale: float, shift: float) -> None:
    found, wanted = some(3, 5, seed=seed), some(3, 5, seed=seed + 1)
    torch.testing.assert_close(unrelated(scale * found + shift, wanted), unrelated(found, wanted))
    torch.testing.assert_close(unrelated(scale * wanted + shift, wanted), torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(unrelated(-wanted, wanted), torch.full((3,), 2.0, dtype=torch.float64))


@pytest.mark.parametrize("labels", [2, 4])
def test_an_equal_teacher_costs_nothing(labels: int) -> None:
    logits = some(3, labels)
    assert RelationalTargets(2.0)(Features(logits + 5), Features(logits), LABELS).abs().max().item() == pytest.approx(0.0, abs=1e-12)


def test_a_teacher_that_tells_nothing_apart_teaches_nothing() -> None:
    logits = some(3, 4).requires_grad_()
    value = RelationalTargets(2.0)(Features(logits), Features(torch.zeros(3, 4, dtype=torch.float64)), LABELS)
    value.sum().backward()
    assert value.tolist() == [0.0, 0.0, 0.0]
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_a_batch_of_one_record_has_relations_within_it() -> None:
    student, teacher = Features(some(1, 4)), Features(some(1, 4, seed=1))
    q, p = (torch.softmax(x.logits, dim=1)[0].numpy() for x in (student, teacher))
    assert RelationalTargets(1.0)(student, teacher, LABELS[:1]).item() == pytest.approx(1 - np.corrcoef(p, q)[0, 1])


def test_a_student_that_tells_nothing_apart_has_a_finite_gradient() -> None:
    logits = torch.zeros(3, 4, requires_grad=True)
    RelationalTargets(2.0)(Features(logits), Features(some(3, 4).float()), LABELS).sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_gradients_and_order() -> None:
    term, student, teacher = RelationalTargets(2.0), Features(some(3, 4)), Features(some(3, 4, seed=1))
    gradients(term, student, teacher, LABELS)
    reordered(term, student, teacher, LABELS)
