"""Numbers of a student: they add up, and say what the net can do without."""

from __future__ import annotations

import pytest

from shared.compress.prune.anatomy import anatomy, blocks_of, mixer, reader
from shared.models import count_parameters
from shared.settings import NetworkSettings
from shared.task import Task
from tests.support.networks import IMAGES, network
from tests.support.shapes import FAMILIES, PRUNED


@pytest.mark.parametrize("shapes", [FAMILIES, PRUNED], ids=["whole", "pruned"])
def test_every_part_is_counted_once(shapes: dict[str, tuple[Task, NetworkSettings]]) -> None:
    for task, settings in shapes.values():
        student = network(task, settings)
        found = anatomy(student)
        assert found.parameters == count_parameters(student)
        assert len(found.blocks) == settings.depth
        for block, (name, _, module) in zip(found.blocks, blocks_of(student), strict=True):
            assert (block.name, block.parameters) == (name, count_parameters(module))
            assert block.heads * block.per_head + block.inner * block.per_inner < block.parameters
            assert (block.heads > 0) == (mixer(module) is not None)
            assert (block.inner > 0) == (reader(module) is not None)


def test_a_block_that_changes_the_map_cannot_go() -> None:
    residual = anatomy(network(*FAMILIES["residual"])).blocks
    assert [(block.stage, block.removable) for block in residual] == [(0, True), (0, True), (1, False), (1, True), (1, True)]
    mobile = anatomy(network(*FAMILIES["mobile"])).blocks
    assert [block.removable for block in mobile] == [False, False, True, False, True, False]


def test_what_cannot_be_told_apart_is_not_narrowed() -> None:
    task, settings = PRUNED["residual"]
    assert [block.inner for block in anatomy(network(task, settings)).blocks] == [4, 6, 0]
    assert [block.inner > 0 for block in anatomy(network(*FAMILIES["mobile"])).blocks] == [False, True, True, True, True, True]


def test_the_price_of_a_channel_is_what_a_net_without_it_saves() -> None:
    wide, narrow = (network(IMAGES, NetworkSettings(width=8, depth=2, convolution="plain", inner=inner)) for inner in (8, 7))
    assert count_parameters(wide) - count_parameters(narrow) == sum(block.per_inner for block in anatomy(wide).blocks)
