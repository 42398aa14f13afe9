"""Steps of a search: each is a smaller student with a name that says how."""

from __future__ import annotations

import numpy as np
import pytest

from shared.compress.prune.anatomy import anatomy
from shared.compress.prune.apply import prune
from shared.compress.prune.importance import Importances
from shared.compress.prune.plan import PruneSettings
from shared.compress.prune.steps import propose, steps
from shared.models import count_parameters
from shared.settings import NetworkSettings
from tests.support.networks import IMAGES, TABLE, network, records
from tests.support.shapes import FAMILIES


@pytest.mark.parametrize("name", FAMILIES)
def test_every_step_is_a_smaller_student(name: str) -> None:
    task, settings = FAMILIES[name]
    student = network(task, settings)
    found = propose(student, records(task, 20), records(task, 20), PruneSettings(keep_layers=0.5, multiple=4))
    assert found
    assert len({step.name for step in found}) == len(found)
    assert all(count_parameters(prune(student, step.plan)) < count_parameters(student) for step in found)


def test_steps_have_the_names_of_a_table() -> None:
    student = network(TABLE, NetworkSettings(width=16, depth=6, heads=4, inner=96))
    found = propose(student, records(TABLE, 20), records(TABLE, 20), PruneSettings())
    assert [step.name for step in found] == ["1 of 6 blocks", "heads 4→3", "inner 96→64"]
    images = network(IMAGES, NetworkSettings(width=32, depth=2))
    found = propose(images, records(IMAGES, 20), records(IMAGES, 20), PruneSettings())
    assert [step.name for step in found] == ["inner 32→16", "inner 64→48", "inner 32→16, 64→48"]


def test_the_block_that_costs_least_goes() -> None:
    whole = anatomy(network(*FAMILIES["table"]))
    parts = [tuple(np.ones(count) for count in counts) for counts in ([block.heads for block in whole.blocks], [32] * 4)]
    found = steps(whole, Importances(np.array([0.3, np.nan, -0.1, 0.2]), *parts), PruneSettings(keep_layers=0.5))
    assert (found[0].name, found[0].plan.blocks) == ("1 of 4 blocks", (0, 1, 3))


def test_a_search_ends_where_nothing_can_go() -> None:
    student = network(TABLE, NetworkSettings(width=8, depth=1, heads=1, inner=16))
    assert propose(student, records(TABLE, 20), records(TABLE, 20), PruneSettings()) == []


def test_without_records_weights_say_what_goes() -> None:
    student = network(TABLE, NetworkSettings(width=16, depth=5, heads=4, inner=32))
    student.get_parameter("blocks.0.widen.weight").data[::2] = 0
    nothing = records(TABLE, 2).take(np.zeros(0, np.int64))
    found = propose(student, nothing, nothing, PruneSettings())
    assert [step.name for step in found] == ["heads 4→3", "inner 32→16"]
    assert found[1].plan.inner[0] == tuple(range(1, 32, 2))
