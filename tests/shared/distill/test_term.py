"""A loss spread over a batch has the mean of the records that it is of, and only a declared teacher is asked for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from shared.distill.term import UNLABELLED, Term, known, spread
from shared.models.features import Features

ROWS = st.lists(st.tuples(st.floats(0, 100), st.booleans()), min_size=1, max_size=40)


class Plain(Term):
    def forward(self, student: Features, teacher: Features | None, labels: Tensor) -> Tensor:
        return torch.ones(len(labels))


@given(ROWS)
def test_the_mean_over_all_is_the_mean_over_the_counted(rows: list[tuple[float, bool]]) -> None:
    losses = torch.tensor([loss for loss, _ in rows], dtype=torch.float64)
    counted = torch.tensor([one for _, one in rows])
    found = spread(losses, counted)
    expected = losses[counted].mean() if counted.any() else torch.zeros((), dtype=torch.float64)
    torch.testing.assert_close(found.mean(), expected)
    assert (found[~counted] == 0).all()


def test_what_is_not_counted_gets_no_gradient_even_where_its_loss_is_infinite() -> None:
    logits = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    losses = logits * torch.tensor([1.0, float("inf"), 1.0])
    spread(losses, torch.tensor([True, False, True])).mean().backward()
    assert logits.grad is not None
    assert logits.grad[[0, 2]].tolist() == pytest.approx([0.5, 0.5])
    # The gradient of what is masked out is 0 before it meets the infinity.
    assert not torch.isinf(logits.grad).any()


def test_an_empty_batch_has_no_loss() -> None:
    assert spread(torch.zeros(0), torch.zeros(0, dtype=torch.bool)).shape == (0,)


def test_a_term_counts_every_record_unless_it_says_otherwise() -> None:
    assert Plain().counted(torch.tensor([UNLABELLED, 0, 3])).tolist() == [True, True, True]


def test_a_teacher_that_was_not_declared_is_a_fault_of_the_program() -> None:
    teacher = Features(torch.zeros(1, 2))
    assert known(teacher) is teacher
    with pytest.raises(AssertionError, match="declared without one"):
        known(None)
