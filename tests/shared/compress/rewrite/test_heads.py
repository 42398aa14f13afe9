"""Merged heads: the same function where heads look alike, the right shapes everywhere."""

from __future__ import annotations

import pytest
import torch

from shared.compress.prune.anatomy import anatomy, blocks_of
from shared.compress.rewrite.heads import merge_heads
from shared.errors import ConfigError
from shared.models import count_parameters
from shared.settings import NetworkSettings
from tests.support.networks import TABLE, inputs, network
from tests.support.shapes import FAMILIES


@pytest.mark.parametrize("name", ["table", "patches", "encoder", "decoder"])
@pytest.mark.parametrize("group", [2, 4])
@torch.no_grad()
def test_heads_that_look_alike_merge_without_a_trace(name: str, group: int) -> None:
    student = network(*FAMILIES[name])
    for _, _, block in blocks_of(student):
        for kind in ("weight", "bias"):
            joined = block.get_parameter(f"query_key_value.{kind}")
            heads = joined.view(3, 4, 4, *joined.shape[1:])
            heads[:2] = heads[:2, :1].clone()
    merged = merge_heads(student, group)
    rows = torch.from_numpy(inputs(student.task, 6))
    torch.testing.assert_close(merged(rows), student(rows), atol=1e-4, rtol=1e-4)
    assert [block.heads for block in anatomy(merged).blocks] == [4 // group] * 4
    assert count_parameters(merged) == count_parameters(student)


def test_a_merged_head_looks_where_the_old_ones_look_on_average() -> None:
    student = network(TABLE, NetworkSettings(width=8, depth=1, heads=2))
    rows = torch.from_numpy(inputs(TABLE, 6))
    before, after = student.features(rows).attentions[0], merge_heads(student).features(rows).attentions[0]
    torch.testing.assert_close(after[:, 0], torch.softmax(before.log().mean(dim=1), dim=-1), atol=1e-5, rtol=1e-4)


def test_shapes_that_pruning_made_merge_too() -> None:
    student = network(TABLE, NetworkSettings(width=8, depth=2, heads=4, block_heads=(2, 4), head_width=3))
    merged = merge_heads(student)
    assert (merged.settings.block_heads, merged.settings.heads, merged.settings.head_width) == ((1, 2), 2, 6)
    assert merged(torch.from_numpy(inputs(TABLE, 5))).shape == (5, 2)


@pytest.mark.parametrize(("name", "group"), [("table", 3), ("table", 1), ("table", 8), ("perceptron", 2), ("residual", 2)])
def test_groups_that_do_not_divide_are_refused(name: str, group: int) -> None:
    with pytest.raises(ConfigError, match=f"cannot be merged in groups of {group}"):
        merge_heads(network(*FAMILIES[name]), group)
