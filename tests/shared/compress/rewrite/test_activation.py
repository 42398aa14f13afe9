"""GELU to ReLU: the same weights, a near function, and a clear word where there is none."""

from __future__ import annotations

import pytest
import torch

from shared.compress.rewrite.activation import cheap_activation, is_expensive
from shared.errors import ConfigError
from shared.models import to_vector
from tests.support.networks import inputs, network
from tests.support.shapes import FAMILIES


@pytest.mark.parametrize("name", ["encoder", "decoder"])
@torch.no_grad()
def test_weights_stay_and_the_function_is_near(name: str) -> None:
    student = network(*FAMILIES[name])
    swapped = cheap_activation(student)
    rows = torch.from_numpy(inputs(student.task, 9))
    assert (to_vector(swapped) == to_vector(student)).all()
    assert not torch.equal(swapped(rows), student(rows))
    assert (swapped(rows) - student(rows)).abs().max() < 0.5
    assert not is_expensive(swapped)


@pytest.mark.parametrize("name", ["table", "perceptron", "residual", "mobile", "patches"])
def test_other_families_have_none(name: str) -> None:
    student = network(*FAMILIES[name])
    assert not is_expensive(student)
    with pytest.raises(ConfigError, match="has no GELU"):
        cheap_activation(student)
