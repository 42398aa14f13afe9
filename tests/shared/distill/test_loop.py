"""Every record once an epoch, in even batches, at a falling rate, and never on with numbers that are none."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from shared.distill.loop import LAST_RATE, epochs, rate_at
from shared.errors import NotFiniteError
from shared.models.seeds import generator
from shared.settings import TrainingSettings


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 3))
def test_each_epoch_sees_every_record_once_in_even_batches(records: int, batch: int, count: int) -> None:
    parameter, seen = nn.Parameter(torch.zeros(1)), list[Tensor]()

    def loss(rows: Tensor) -> Tensor:
        seen.append(rows)
        return parameter.sum() + 1

    training = TrainingSettings(epochs=count, batch_size=batch, learning_rate=1e-9)
    found = list(epochs([parameter], loss, records, training, generator(1, "b")))
    assert found == pytest.approx([1.0] * count, abs=1e-6)
    assert sorted(torch.cat(seen).tolist()) == sorted(list(range(records)) * count)
    assert all(len(rows) <= batch for rows in seen)
    assert max(map(len, seen)) - min(map(len, seen)) <= 1


def test_the_rate_falls_from_all_to_a_tenth() -> None:
    rates = [rate_at(step / 10) for step in range(11)]
    assert rates[0] == 1.0
    assert rates[-1] == pytest.approx(LAST_RATE)
    assert rates == sorted(rates, reverse=True)


def test_a_fit_that_leaves_the_numbers_stops() -> None:
    parameter = nn.Parameter(torch.ones(1))
    with pytest.raises(NotFiniteError, match="learning_rate"):
        list(epochs([parameter], lambda rows: parameter.sum() * torch.inf, 4, TrainingSettings(), generator(1, "b")))
