"""Heads are balanced as the papers say, and one head alone has nothing to be balanced with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.distill.heads import Heads
from shared.distill.objective import declare
from shared.distill.targets import targets_of
from shared.distill.task_weights import TaskWeights
from shared.distill.trainer import distil
from shared.models.seeds import generator
from shared.settings import DistillationSettings, TaskWeighting, TrainingSettings
from tests.support.heads import TABLES, heads, labels, numbered, records
from tests.support.networks import LARGE, network
from tests.support.shown import shown

WEIGHTED = heads(weights=(2.0, 0.5, 1.0))
ALL, ONE = Heads(WEIGHTED, numbered(*range(8))), Heads(WEIGHTED, numbered(3, 4))
BATCH = labels(0, 3, 4, 7, -1)
KINDS: tuple[TaskWeighting, ...] = ("fixed", "uncertainty", "speed")


@pytest.mark.parametrize("kind", KINDS)
def test_the_declared_weights_are_where_all_begin(kind: TaskWeighting) -> None:
    assert TaskWeights(ALL, kind)(BATCH).tolist() == pytest.approx([2.0, 0.5, 0.5, 1.0, 1.0])
    assert TaskWeights(ALL, kind).penalty(BATCH).item() == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_one_head_has_its_declared_weight_always_and_keeps_nothing(kind: TaskWeighting) -> None:
    weights = TaskWeights(ONE, kind)
    for loss in (9.0, 1.0, 0.1):
        weights.see(torch.full((2,), loss), labels(3, 4))
    assert weights(labels(3, 4)).tolist() == [0.5, 0.5]
    assert not weights.state_dict()


def test_uncertainty_settles_at_the_inverse_of_twice_the_loss() -> None:
    weights, losses = TaskWeights(Heads(heads(), numbered(*range(8))), "uncertainty"), torch.tensor([4.0, 0.25])
    optimiser = torch.optim.SGD(weights.parameters(), lr=0.1)
    for _ in range(3000):
        optimiser.zero_grad()
        value = (weights(labels(0, 3)) * losses).mean() + weights.penalty(labels(0, 3))
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    # d/ds (exp(-s) L + s / 2) = 0 at exp(-s) = 1 / (2 L).
    assert weights(labels(0, 3)).tolist() == pytest.approx([1 / 8, 2.0], rel=1e-3)


def test_a_head_that_stands_still_counts_more_than_one_that_learns() -> None:
    weights = TaskWeights(Heads(heads(), numbered(0, 1, 3, 4)), "speed")
    for step in range(60):
        weights.see(torch.tensor([1.0, 0.95**step]), labels(0, 3))
    still, learns, unseen = weights.factors().tolist()
    assert still > 1.0 > learns > 0.5
    assert still + learns == pytest.approx(2.0)
    assert unseen == 1.0


@given(st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=3), st.integers(1, 40))
def test_speeds_share_out_as_much_as_there_are_heads(losses: list[float], steps: int) -> None:
    weights = TaskWeights(Heads(heads(), numbered(*range(8))), "speed")
    for step in range(steps):
        weights.see(torch.tensor(losses) / (1 + step), labels(0, 3, 5))
    assert weights.factors().sum().item() == pytest.approx(3.0, rel=1e-5)
    assert (weights.factors() > 0).all()


def test_running_losses_stand_still_outside_training() -> None:
    weights = TaskWeights(ALL, "speed").eval()
    weights.see(torch.ones(2), labels(0, 3))
    assert not weights.fast.any()


def test_an_objective_weighs_each_record_by_its_head() -> None:
    student, teacher = (shown(layers=1, width=4, labels=8, batch=5, seed=seed) for seed in (0, 20))
    settings = DistillationSettings()
    weighted, plain = (
        declare(settings, student, teacher, generator(1, "a"), heads=Heads(chosen, numbered(*range(8)))).double()
        for chosen in (WEIGHTED, heads())
    )
    batch = labels(0, 3, 4, 7, 1)
    by_record = sum(plain.weights[name] * term(student, teacher, batch) for name, term in plain.terms.items())
    expected = (torch.tensor([2.0, 0.5, 0.5, 1.0, 2.0]) * by_record).mean()
    torch.testing.assert_close(weighted(student, teacher, batch), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_learnt_of_heads_goes_on_in_the_next_round(kind: TaskWeighting) -> None:
    site, student = records(TABLES), network(TABLES)
    targets = targets_of(network(TABLES, LARGE, seed=9), site.inputs, inside=True)
    settings, training = DistillationSettings(task_weighting=kind), TrainingSettings(epochs=2, batch_size=16)
    first = distil(student, targets, site, training, settings, seed=1)
    second = distil(student, targets, site, training, settings, seed=2, alignment=first.alignment)
    kept = {name for name in first.alignment if name.startswith("tasks.")}
    assert kept == {"fixed": set(), "uncertainty": {"tasks.log_variances"}, "speed": {"tasks.fast", "tasks.slow"}}[kind]
    assert all((first.alignment[name] != second.alignment[name]).any() for name in kept)
    assert np.isfinite(second.loss)
