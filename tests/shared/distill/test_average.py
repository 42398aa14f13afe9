"""The average follows the student by the formula, and is asked of records as they are."""

from __future__ import annotations

import pytest
import torch

from shared.distill.average import AverageTeacher
from shared.models import to_vector
from shared.models.layers import use_dropout
from shared.models.seeds import generator
from shared.settings import NetworkSettings
from tests.support.networks import TABLE, inputs, network

INPUTS, ROWS = torch.from_numpy(inputs(TABLE, 9)), torch.tensor([4, 0, 7])


@pytest.mark.parametrize("decay", [0.0, 0.9, 1.0])
def test_it_is_the_moving_average(decay: float) -> None:
    student, twin = network(seed=1), network(seed=1)
    average = AverageTeacher(student, INPUTS, decay)
    for seed in range(2, 5):
        student.load_state_dict(network(seed=seed).state_dict())
        average.follow()
        with torch.no_grad():
            for own, other in zip(twin.parameters(), student.parameters(), strict=True):
                own.mul_(decay).add_((1 - decay) * other)
    torch.testing.assert_close(average.take(ROWS).logits, twin.features(INPUTS[ROWS]).logits.detach())


def test_it_starts_as_the_student_and_stays_there_with_it() -> None:
    student = network()
    average = AverageTeacher(student, INPUTS, 0.5)
    average.follow()
    assert torch.equal(average.take(ROWS).logits, student(INPUTS[ROWS]).detach())
    assert (to_vector(average._model) == to_vector(student)).all()


def test_it_drops_nothing_out_and_learns_nothing() -> None:
    student = network(TABLE, NetworkSettings(width=8, depth=2, heads=2, dropout=0.5)).train()
    average = AverageTeacher(student, INPUTS, 0.5)
    use_dropout(student, generator(1, "d"))
    found = average.take(ROWS)
    assert torch.equal(found.logits, average.take(ROWS).logits)
    assert not found.logits.requires_grad
    assert student.training
    assert torch.equal(average.take(ROWS, 3).logits, found.logits)
