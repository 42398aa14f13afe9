"""What the student said when it arrived: remembered once, compared by record."""

from __future__ import annotations

import pytest
import torch

from shared.distill.previous import PreviousStudent
from shared.distill.soft_targets import SoftTargets
from shared.models.features import Features
from shared.models.network import BATCH
from tests.support.networks import TABLE, inputs, network

INPUTS, ROWS = torch.from_numpy(inputs(TABLE, BATCH + 5)), torch.tensor([BATCH + 2, 0, 7])


def test_a_student_that_stays_has_forgotten_nothing() -> None:
    student = network()
    previous = PreviousStudent(student, INPUTS, 2.0)
    offset = torch.tensor([1.0, -2.0])
    assert previous.forgotten(student.features(INPUTS[ROWS]), ROWS).abs().max().item() == pytest.approx(0.0, abs=1e-6)
    shifted = Features(student(INPUTS[ROWS]) + offset)
    assert previous.forgotten(shifted, ROWS, offset).abs().max().item() == pytest.approx(0.0, abs=1e-6)


def test_one_that_moves_is_compared_with_how_it_arrived() -> None:
    student = network(seed=1).train()
    previous = PreviousStudent(student, INPUTS, 2.0)
    assert student.training
    student.load_state_dict(network(seed=2).state_dict())
    now, before = (network(seed=seed).features(INPUTS[ROWS]) for seed in (2, 1))
    torch.testing.assert_close(previous.forgotten(student.features(INPUTS[ROWS]), ROWS), SoftTargets(2.0)(now, before, ROWS))
