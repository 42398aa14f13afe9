"""The kinds of convolution: one shape in and out, and fewer numbers where one is split."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from shared.models import count_parameters
from shared.models.convolutions import ShiftedConv, convolution, kernel_of
from shared.models.layers import initialise
from shared.models.seeds import generator
from shared.settings import Convolution


@pytest.mark.parametrize("kind", get_args(Convolution))
@pytest.mark.parametrize(("kernel", "stride", "size"), [(3, 1, 7), (3, 2, 7), (3, 2, 8), (5, 1, 6), (1, 2, 5)])
def test_every_kind_gives_maps_of_one_shape(kind: Convolution, kernel: int, stride: int, size: int) -> None:
    layer = convolution(kind, 4, 6, kernel, stride=stride)
    initialise(layer, generator(1, "w"))
    found = layer(torch.ones(2, 4, size, size))
    assert found.shape == (2, 6, -(-size // stride), -(-size // stride))
    assert torch.isfinite(found).all()


def test_split_kinds_have_fewer_numbers() -> None:
    sizes = {kind: count_parameters(convolution(kind, 16, 16, 3)) for kind in get_args(Convolution)}
    assert sizes["separable"] < sizes["factorised"] < sizes["standardised"] < sizes["plain"]


def test_a_point_has_nothing_to_split() -> None:
    assert all(isinstance(convolution(kind, 4, 6, 1), ShiftedConv) for kind in ("plain", "separable", "factorised"))


def test_new_layers_keep_the_size_of_a_signal() -> None:
    maps = torch.randn(8, 32, 12, 12, generator=generator(1, "x"))
    for kind in get_args(Convolution):
        layer = convolution(kind, 32, 32, 3)
        initialise(layer, generator(1, "w"))
        assert 0.3 < float(layer(maps).detach().std()) < 3.0


@pytest.mark.parametrize("groups", [1, 4])
def test_any_kernel_can_be_said(groups: int) -> None:
    layer = ShiftedConv(4, 8, (1, 3), groups=groups)
    initialise(layer, generator(1, "w"))
    kernel = 5 + torch.randn(8, 4 // groups, 1, 3, generator=generator(2, "k"))
    kernel[1] = 0
    kernel[2] = 3
    for growth in (1.0, 7.0):
        layer.set_kernel(kernel, growth)
        torch.testing.assert_close(layer.plain_weight(), kernel)
        torch.testing.assert_close(kernel_of(layer), kernel)
        assert layer.growth() == pytest.approx(growth, rel=1e-4)
    layer.set_kernel(torch.zeros_like(kernel))
    assert (layer.plain_weight() == 0).all()


def test_a_kernel_with_fewer_inputs_is_a_part_of_the_whole_one() -> None:
    whole, part = ShiftedConv(6, 4, 3), ShiftedConv(3, 4, 3)
    initialise(whole, generator(1, "w"))
    whole.weight.data.mul_(9.0)
    whole.shift.data.add_(2.0)
    part.set_affine(whole.weight[:, 1:4], *whole.affine())
    torch.testing.assert_close(part.plain_weight(), whole.plain_weight()[:, 1:4])
    assert torch.equal(part.weight, whole.weight[:, 1:4])


def test_steps_of_any_length_leave_the_kernel_s_own_length_alone() -> None:
    layer = ShiftedConv(4, 8, 3)
    initialise(layer, generator(1, "w"))
    before = layer.plain_weight().detach()
    with torch.no_grad():
        layer.weight.mul_(50.0)
    torch.testing.assert_close(layer.plain_weight(), before, rtol=1e-4, atol=1e-5)
