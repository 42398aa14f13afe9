"""What is held out is drawn by the seed alone; the best weights come back, after as many looks as patience allows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from shared.data.records import Records
from shared.distill.held_out import FEWEST, SHARE, HeldOut, parted
from shared.models import load_vector, to_vector
from tests.support.networks import IMAGES, TABLE, network, records


@given(st.integers(0, 80), st.integers(0, 3), st.integers(0, 5))
def test_every_record_is_learnt_from_or_held_out(unlabelled: int, patience: int, seed: int) -> None:
    examples = records(TABLE, 80)
    examples.labels[:unlabelled] = -1
    learnt, held = parted(examples, patience, seed)
    labelled = 80 - unlabelled
    if not patience or labelled < FEWEST:
        assert held is None
        assert learnt.tolist() == list(range(80))
        return
    assert held is not None
    assert len(held) == max(int(SHARE * labelled), 1)
    assert (held.labels >= 0).all()
    left = np.setdiff1d(np.arange(80), learnt.numpy())
    np.testing.assert_array_equal(examples.take(left).inputs, held.inputs)
    assert len(learnt) + len(held) == 80
    assert torch.equal(parted(examples, patience, seed)[0], learnt)


def test_another_seed_holds_out_other_records() -> None:
    assert len({tuple(parted(records(TABLE, 80), 1, seed)[0].tolist()) for seed in range(5)}) > 1


class Constant(nn.Module):
    """Answers every record with its two weights."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = nn.Parameter(torch.zeros(2))

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.ones(len(inputs), 1) * self.answer

    def be(self, value: float) -> None:
        with torch.no_grad():
            self.answer.copy_(torch.tensor([0.0, value]))


ONES = Records(np.zeros((4, 1), np.float32), np.ones(4, np.int64))
"""All of label 1: the larger the second weight, the smaller the loss."""


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=12), st.integers(1, 4))
def test_patience_ends_it_and_the_best_come_back(values: list[int], patience: int) -> None:
    model = Constant()
    held_out, best, waited = HeldOut(model, ONES, patience), None, 0
    for value in values:
        model.be(value / 4)
        better = best is None or value > best
        best, waited = (value, 0) if better else (best, waited + 1)
        assert held_out.is_enough() == (waited >= patience)
        if waited >= patience:
            break
    held_out.put_back()
    assert best is not None
    assert model.answer.tolist() == [0.0, best / 4]


@given(st.lists(st.integers(-20, 20), min_size=2, max_size=8), st.data())
def test_it_goes_on_from_its_state_bit_for_bit(values: list[int], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(values)))
    whole, first = Constant(), Constant()
    expected, before = HeldOut(whole, ONES, 2), HeldOut(first, ONES, 2)
    answers = []
    for place, value in enumerate(values):
        whole.be(value / 4)
        answers.append(expected.is_enough())
        if place < cut:
            first.be(value / 4)
            assert before.is_enough() == answers[-1]
    second = Constant()
    after = HeldOut(second, ONES, 2)
    after.set_state(before.get_state())
    for value, answer in zip(values[cut:], answers[cut:], strict=True):
        second.be(value / 4)
        assert after.is_enough() == answer
    assert torch.equal(after.get_state(), expected.get_state())
    expected.put_back()
    after.put_back()
    assert torch.equal(whole.answer, second.answer)


@pytest.mark.parametrize("task", [TABLE, IMAGES])
def test_a_networks_weights_survive_the_state_and_its_mode_is_kept(task: object) -> None:
    model = network(TABLE if task is TABLE else IMAGES)
    examples = records(model.task, 30)
    held_out, first = HeldOut(model.train(), examples, 1), to_vector(model).copy()
    assert not held_out.is_enough()
    assert model.training
    other = network(model.task, seed=5)
    fresh = HeldOut(other, examples, 1)
    fresh.set_state(held_out.get_state())
    fresh.put_back()
    assert to_vector(other).tobytes() == first.tobytes()
    load_vector(model, first + 1)
    held_out.put_back()
    assert to_vector(model).tobytes() == first.tobytes()
