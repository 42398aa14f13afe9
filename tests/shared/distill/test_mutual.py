"""Two models that teach each other: gradients stay on their own side, and trust grows as both learn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from shared.distill.mutual import PREFIX, SMALLEST, MutualTeacher, without_teacher
from shared.errors import CheckpointError
from shared.models.features import Features
from tests.support.networks import LARGE, SMALL, TABLE, network, records

LABELS = torch.tensor([0, 1, 1])


def answers(seed: int) -> Tensor:
    return torch.randn(3, 2, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def test_the_loss_by_hand_moves_the_teacher_alone() -> None:
    mutual, teacher, student = MutualTeacher(network(TABLE, LARGE), 2.0), answers(1), answers(2)
    found = mutual.loss(Features(teacher), Features(student), LABELS)
    found.backward()
    mistakes = [-one.log_softmax(1)[torch.arange(3), LABELS].mean() for one in (teacher, student)]
    p, q = (student / 2).softmax(1), (teacher / 2).log_softmax(1)
    expected = mistakes[0] + 4 * (p * (p.log() - q)).sum(1).mean() / (mistakes[0] + mistakes[1])
    torch.testing.assert_close(found, expected)
    assert student.grad is None
    assert teacher.grad is not None
    assert teacher.grad.abs().sum() > 0


def test_trust_has_a_bound() -> None:
    sure = Features(torch.tensor([[90.0, 0.0], [0.0, 90.0], [0.0, 90.0]]))
    assert MutualTeacher(network(TABLE, LARGE), 2.0).distrust(sure, sure, LABELS) == pytest.approx(SMALLEST)


def test_weights_are_kept_apart_and_come_back() -> None:
    one, other = (MutualTeacher(network(TABLE, LARGE, seed=seed), 1.0) for seed in (1, 2))
    kept = {**one.kept(), "hidden.weight": torch.ones(1)}
    assert list(without_teacher(kept)) == ["hidden.weight"]
    other.go_on(kept)
    inputs = torch.from_numpy(records(TABLE, 5).inputs)
    torch.testing.assert_close(one(inputs).logits, other(inputs).logits)
    other.go_on({})
    with pytest.raises(CheckpointError, match="another shape"):
        MutualTeacher(network(TABLE, SMALL), 1.0).go_on({name: tensor for name, tensor in kept.items() if name.startswith(PREFIX)})
