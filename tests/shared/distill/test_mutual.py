"""Two models that teach each other: gradients stay on their own side, and trust grows as both learn."""

from __future__ import annotations

import contextlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from shared.distill import distil, evaluate
from shared.distill.mutual import PREFIX, SMALLEST, MutualTeacher, without_teacher
from shared.distill.resume import Resume
from shared.errors import CheckpointError
from shared.models import to_vector
from shared.models.features import Features
from shared.settings import DistillationSettings, TrainingSettings
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


def test_both_learn_and_a_later_round_goes_on() -> None:
    torch.set_num_threads(1)
    examples, wishes = records(TABLE, 120), DistillationSettings(teacher="mutual", hidden_weight=0.1, attention_weight=0.1)
    training = TrainingSettings(epochs=15, batch_size=16, learning_rate=1e-2)
    student, mentor = network(TABLE, SMALL), network(TABLE, LARGE, seed=4)
    before = to_vector(mentor)
    outcome = distil(student, None, examples, training, wishes, seed=1, mentor=mentor)
    assert evaluate(student, records(TABLE, 60, seed=1), 2).accuracy > 0.85
    assert evaluate(mentor, records(TABLE, 60, seed=1), 2).accuracy > 0.85
    assert (to_vector(mentor) != before).any()
    fresh = network(TABLE, LARGE, seed=4)
    still = TrainingSettings(epochs=1, learning_rate=1e-12, weight_decay=0.0)
    distil(network(TABLE, SMALL), None, examples, still, wishes, seed=1, mentor=fresh, alignment=outcome.alignment)
    torch.testing.assert_close(torch.from_numpy(to_vector(fresh)), torch.from_numpy(to_vector(mentor)))


@given(st.integers(0, 11))
@settings(max_examples=8)
def test_a_killed_fit_goes_on_bit_for_bit(die_at: int) -> None:
    torch.set_num_threads(1)

    def fit(folder: Path, die: int | None) -> tuple[Tensor, Tensor] | None:
        student, mentor, done = network(TABLE, SMALL), network(TABLE, LARGE, seed=4), 0
        real = MutualTeacher.loss

        def counted(self: MutualTeacher, *arguments: Any) -> Tensor:
            nonlocal done
            if done == die:
                raise KeyboardInterrupt
            done += 1
            return real(self, *arguments)

        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            patch.setattr(MutualTeacher, "loss", counted)
            resume = Resume(folder / "fit.safetensors", "one", interval_s=0.0)
            training = TrainingSettings(epochs=3, batch_size=8)
            distil(
                student, None, records(TABLE, 30), training, DistillationSettings(teacher="mutual"), seed=1, mentor=mentor, resume=resume
            )
            return torch.from_numpy(to_vector(student)), torch.from_numpy(to_vector(mentor))
        return None

    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        whole = fit(Path(one), None)
        assert fit(Path(other), die_at) is None
        again = fit(Path(other), None)
    assert whole is not None
    assert again is not None
    assert all(torch.equal(first, second) for first, second in zip(whole, again, strict=True))
