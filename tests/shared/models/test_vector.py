"""The vector is all that a student shares: whole, in one order, and checked."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shared.errors import CheckpointError, NotFiniteError
from shared.models import count_parameters, load_vector, predict, to_vector
from shared.models.vector import parameters_in_order
from shared.task import Task
from tests.support.networks import IMAGES, TABLE, inputs, network


@pytest.mark.parametrize("task", [TABLE, IMAGES])
def test_round_trip(task: Task) -> None:
    source, target = network(task, seed=1), network(task, seed=2)
    vector = to_vector(source)
    assert vector.shape == (count_parameters(source),)
    assert vector.dtype == np.float32
    load_vector(target, vector)
    assert (to_vector(target) == vector).all()
    assert (predict(source, inputs(task, 20)) == predict(target, inputs(task, 20))).all()


def test_the_order_is_that_of_names_not_of_construction() -> None:
    class Pair(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.b = torch.nn.Parameter(torch.tensor([2.0]))
            self.a = torch.nn.Parameter(torch.tensor([1.0]))
            self.frozen = torch.nn.Parameter(torch.tensor([9.0]), requires_grad=False)

    assert to_vector(Pair()).tolist() == [1.0, 2.0]
    assert len(parameters_in_order(Pair())) == 2


def test_the_vector_is_a_copy() -> None:
    model = network()
    vector = to_vector(model)
    vector += 1
    assert (to_vector(model) != vector).all()
    load_vector(model, vector)
    vector += 1
    assert (to_vector(model) != vector).all()


def test_another_size_is_refused() -> None:
    with pytest.raises(CheckpointError, match="differ in"):
        load_vector(network(), np.zeros(3, np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_and_nothing_is_changed(value: float) -> None:
    model = network()
    before = to_vector(model)
    broken = before.copy()
    broken[-1] = value
    with pytest.raises(NotFiniteError):
        load_vector(model, broken)
    assert (to_vector(model) == before).all()
