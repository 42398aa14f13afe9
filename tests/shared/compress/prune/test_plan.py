"""Plans are pure functions of importances: within their bounds, near what was asked, and made of what is worth least."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.compress.prune.anatomy import Anatomy, BlockAnatomy, anatomy
from shared.compress.prune.apply import check, prune
from shared.compress.prune.importance import Importances
from shared.compress.prune.plan import PruneSettings, best, decide, keep_all, next_width
from shared.models import count_parameters
from shared.settings import NetworkSettings
from tests.support.networks import TABLE, network
from tests.support.shapes import FAMILIES


def rising(student: Anatomy) -> Importances:
    """Later blocks, heads and channels are worth more."""
    heads = tuple(np.arange(1.0, block.heads + 1) for block in student.blocks)
    inner = tuple(np.arange(1.0, block.inner + 1) + place for place, block in enumerate(student.blocks))
    return Importances(np.arange(1.0, len(student.blocks) + 1), heads, inner)


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=25, deadline=None)
@given(fraction=st.floats(0, 0.99), keep=st.floats(0.1, 1), multiple=st.sampled_from([1, 4, 8, 16]), seed=st.integers(0, 2**16))
def test_a_plan_is_one_of_its_student_and_keeps_its_bounds(name: str, fraction: float, keep: float, multiple: int, seed: int) -> None:
    whole = anatomy(network(*FAMILIES[name]))
    rng = np.random.default_rng(seed)
    worth = Importances(
        rng.normal(size=len(whole.blocks)),
        tuple(rng.random(block.heads) for block in whole.blocks),
        tuple(rng.random(block.inner) for block in whole.blocks),
    )
    asked = PruneSettings(fraction=fraction, keep_layers=keep, multiple=multiple)
    plan = decide(whole, worth, asked)
    check(whole, plan)
    assert plan == decide(whole, worth, asked)
    assert len(plan.blocks) >= keep * len(whole.blocks) - 1e-6
    for place, inner in zip(plan.blocks, plan.inner, strict=True):
        width = whole.blocks[place].inner
        assert len(inner) == width or len(inner) % multiple == 0
        assert inner == best(worth.inner[place], len(inner))


def test_nothing_to_remove_keeps_all() -> None:
    whole = anatomy(network(*FAMILIES["table"]))
    assert decide(whole, rising(whole), PruneSettings(fraction=0.0)) == keep_all(whole)


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.3, 0.4])
def test_what_goes_is_about_what_was_asked(fraction: float) -> None:
    student = network(TABLE, NetworkSettings(width=32, depth=5, heads=4, expansion=4))
    whole = anatomy(student)
    smaller = prune(student, decide(whole, rising(whole), PruneSettings(fraction=fraction, multiple=16)))
    assert 1 - count_parameters(smaller) / count_parameters(student) == pytest.approx(fraction, abs=0.04)


def test_blocks_go_first_the_cheapest_of_known_cost_and_no_more_than_allowed() -> None:
    whole = anatomy(network(*FAMILIES["encoder"]))
    worth = rising(whole)
    costs = Importances(np.array([np.nan, 3.0, 1.0, 2.0]), worth.heads, worth.inner)
    assert decide(whole, costs, PruneSettings(fraction=0.9, keep_layers=0.75)).blocks == (0, 1, 3)
    assert decide(whole, costs, PruneSettings(fraction=0.9, keep_layers=0.5)).blocks == (0, 1)
    assert decide(whole, costs, PruneSettings(fraction=0.9, keep_layers=0.1)).blocks == (0,)
    assert decide(whole, costs, PruneSettings(fraction=0.9)).blocks == (0, 1, 2, 3)
    assert decide(whole, costs, PruneSettings(fraction=0.01, keep_layers=0.1)).blocks == (0, 1, 2, 3)


def test_a_depth_that_was_pruned_before_counts_from_the_first() -> None:
    whole = anatomy(network(*FAMILIES["encoder"]))
    assert len(decide(whole, rising(whole), PruneSettings(fraction=0.5, first_depth=4, keep_layers=0.75)).blocks) == 3
    assert len(decide(whole, rising(whole), PruneSettings(fraction=0.5, first_depth=5, keep_layers=0.8)).blocks) == 4


def test_the_least_heads_and_channels_go() -> None:
    block = BlockAnatomy(name="blocks.0", stage=0, removable=True, heads=4, inner=64, parameters=8000, per_head=1000, per_inner=50)
    whole = Anatomy((block,), 8000)
    worth = Importances(np.array([1.0]), (np.array([4.0, 1.0, 3.0, 2.0]),), (np.arange(64.0)[::-1].copy(),))
    plan = decide(whole, worth, PruneSettings(fraction=0.3, multiple=16))
    assert plan.heads == ((0, 2, 3),)
    assert plan.inner == (tuple(range(32)),)


def test_widths_go_down_to_multiples() -> None:
    assert [next_width(width, 16) for width in (124, 96, 64, 63, 33, 32, 17, 16, 5)] == [96, 64, 48, 48, 32, 16, 16, 16, 5]
    assert next_width(2, 1) == 1
    assert next_width(1, 1) == 1


def test_the_best_of_equals_are_the_first() -> None:
    assert best(np.array([1.0, 2.0, 2.0, 2.0]), 2) == (1, 2)
