"""Folding standardisation changes no answer."""

from __future__ import annotations

import pytest
import torch

from shared.compress.rewrite.plain import plain_convolutions
from shared.models.layers import StandardisedConv
from shared.settings import NetworkSettings
from tests.support.networks import IMAGES, inputs, network
from tests.support.shapes import FAMILIES


@torch.no_grad()
def test_the_function_is_the_same() -> None:
    student = network(*FAMILIES["residual"])
    plain = plain_convolutions(student)
    rows = torch.from_numpy(inputs(student.task, 9))
    torch.testing.assert_close(plain(rows), student(rows))
    assert not any(isinstance(module, StandardisedConv) for module in plain.modules())
    assert plain.settings == student.settings.model_copy(update={"convolution": "plain"})


@torch.no_grad()
def test_of_a_mixture_only_what_is_standardised_changes() -> None:
    student = network(IMAGES, NetworkSettings(width=8, depth=2, convolution=("standardised", "separable")))
    plain = plain_convolutions(student)
    rows = torch.from_numpy(inputs(IMAGES, 9))
    torch.testing.assert_close(plain(rows), student(rows))
    assert plain.settings.convolution == ("plain", "separable")


@pytest.mark.parametrize("name", ["table", "mobile", "encoder"])
def test_where_nothing_is_standardised_nothing_is_made(name: str) -> None:
    student = network(*FAMILIES[name])
    assert plain_convolutions(student) is student
