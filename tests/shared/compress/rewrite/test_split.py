"""Split kernels: the nearest there are, and the same function where the old kernel was one of them."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from shared.compress.prune.anatomy import anatomy, blocks_of
from shared.compress.prune.apply import prune
from shared.compress.prune.importance import magnitudes
from shared.compress.prune.plan import PruneSettings, decide
from shared.compress.rewrite.plain import plain_convolutions
from shared.compress.rewrite.split import Split, factorised, lost, separated, split_convolutions, splittable
from shared.errors import ConfigError
from shared.models import count_parameters
from shared.models.convolutions import ShiftedConv
from shared.models.seeds import generator
from tests.support.networks import TABLE, inputs, network
from tests.support.shapes import FAMILIES

KINDS: tuple[Split, ...] = ("separable", "factorised")


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(3, "kernel"))


@pytest.mark.parametrize("stride", [1, 2])
def test_a_kernel_that_is_separable_stays_what_it_is(stride: int) -> None:
    maps, kernel = random(2, 4, 9, 8), random(6, 4, 1, 1) * random(1, 4, 3, 3)
    depthwise, pointwise = separated(kernel)
    found = functional.conv2d(functional.conv2d(maps, depthwise, stride=stride, padding=1, groups=4), pointwise)
    torch.testing.assert_close(found, functional.conv2d(maps, kernel, stride=stride, padding=1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("outputs", "inputs"), [(6, 4), (4, 6)])
def test_a_kernel_of_few_ranks_stays_what_it_is(stride: int, outputs: int, inputs: int) -> None:
    kernel = torch.einsum("mix,omy->oiyx", random(3, inputs, 3), random(outputs, 3, 3))
    maps, (across, down) = random(2, inputs, 9, 8), factorised(kernel, min(outputs, inputs))
    found = functional.conv2d(functional.conv2d(maps, across, stride=(1, stride), padding=(0, 1)), down, stride=(stride, 1), padding=(1, 0))
    torch.testing.assert_close(found, functional.conv2d(maps, kernel, stride=stride, padding=1), atol=1e-4, rtol=1e-4)


def test_no_other_pair_is_nearer() -> None:
    kernel = random(6, 4, 3, 3)
    depthwise, pointwise = separated(kernel)
    error = (kernel - pointwise * depthwise[:, 0]).square().sum()
    for step in range(20):
        moved = depthwise + 0.05 * torch.randn(depthwise.shape, generator=generator(step, "moved"))
        # The best pointwise part for a depthwise one: the projection of each kernel on it.
        best = torch.einsum("oiyx,iyx->oi", kernel, moved[:, 0]) / moved[:, 0].square().sum(dim=(1, 2))
        assert (kernel - best[:, :, None, None] * moved[:, 0]).square().sum() >= error - 1e-5


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_net_whose_kernels_split_answers_as_before(kind: Split) -> None:
    student = plain_convolutions(network(*FAMILIES["residual"]))
    for _, _, block in blocks_of(student):
        for name in ("first", "second"):
            layer = block.get_submodule(name)
            assert isinstance(layer, ShiftedConv)
            kernel = layer.plain_weight()
            near = kernel.mean(dim=(2, 3), keepdim=True) * kernel.mean(dim=0, keepdim=True) * 20
            layer.set_kernel(near if kind == "separable" else kernel.mean(dim=(2, 3), keepdim=True) * torch.tensor([1.0, 2.0, 1.0]))
    assert max(lost(student, kind).values()) < 1e-6
    rows = torch.from_numpy(inputs(student.task, 6))
    torch.testing.assert_close(split_convolutions(student, kind)(rows), student(rows), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_chosen_blocks_are_split_and_nothing_else_changes(kind: Split) -> None:
    student = network(*FAMILIES["residual"])
    made = split_convolutions(student, kind, [1, 3])
    assert made.settings.convolution == ("plain", kind, "plain", kind, "plain")
    assert splittable(made) == (0, 2, 4)
    assert count_parameters(made) < count_parameters(plain_convolutions(student))
    plain = dict(plain_convolutions(student).named_parameters())
    same = [name for name, parameter in made.named_parameters() if name in plain and torch.equal(parameter, plain[name])]
    assert {name for name in plain if not name.startswith(("stages.0.1.", "stages.1.1."))} <= set(same)
    whole = split_convolutions(student, kind)
    assert whole.settings.convolution == kind
    assert splittable(whole) == ()


def test_what_is_lost_is_a_part_and_less_of_it_where_more_is_kept() -> None:
    student = network(*FAMILIES["residual"])
    for kind in KINDS:
        found = lost(student, kind)
        assert set(found) == set(splittable(student))
        assert all(0 < part < 1 for part in found.values())


def test_a_split_net_is_pruned_and_a_pruned_one_split() -> None:
    student = network(*FAMILIES["residual"])
    split = split_convolutions(student, "separable")
    plan = decide(anatomy(split), magnitudes(split), PruneSettings(fraction=0.3, multiple=4))
    rows = torch.from_numpy(inputs(student.task, 6))
    smaller = prune(split, plan)
    assert smaller.settings.inner is not None
    assert torch.isfinite(smaller(rows)).all()
    again = split_convolutions(prune(student, plan), "factorised")
    assert torch.isfinite(again(rows)).all()


def test_what_cannot_be_split_is_said() -> None:
    student = network(*FAMILIES["residual"])
    with pytest.raises(ConfigError, match=r"no whole k × k convolutions in blocks \[7\]"):
        split_convolutions(student, "separable", [7])
    with pytest.raises(ConfigError, match="choose among"):
        split_convolutions(split_convolutions(student, "separable"), "factorised")
    with pytest.raises(ConfigError, match="no whole"):
        split_convolutions(network(TABLE), "separable")
