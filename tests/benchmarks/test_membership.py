"""Membership attacks: who leads is a member, and nobody leads without a clue."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.membership import alignment, auc, beyond, gradients, loss_drop, surety
from benchmarks.privacy_attack import Scene
from shared.data.digits import read_digits
from shared.models import to_vector


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(12, read_digits())


def test_the_area_counts_pairs_and_ties_for_half() -> None:
    assert auc(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1
    assert auc(np.array([1.0]), np.array([1.0])) == 0.5
    assert auc(np.array([0.0, 2.0]), np.array([1.0])) == 0.5


def test_an_update_points_along_what_is_its_records_own(scene: Scene) -> None:
    few = scene.everyone.take(np.arange(40))
    own = gradients(scene.gradient, few)
    usual = np.broadcast_to(own.mean(axis=0), own.shape)
    update = -own[:4].mean(axis=0).astype(np.float64)
    scores = alignment(update, own, usual)
    assert auc(scores[:4], scores[4:]) > 0.9


def test_each_records_gradient_is_that_of_a_batch_of_one(scene: Scene) -> None:
    few = scene.everyone.take(np.arange(3))
    plain = [
        scene.gradient(torch.from_numpy(few.inputs[place][None]).float(), torch.from_numpy(few.labels[place][None])) for place in range(3)
    ]
    np.testing.assert_allclose(gradients(scene.gradient, few), torch.stack(plain).numpy(), rtol=1e-3, atol=1e-5)


def test_a_step_against_a_records_gradient_lowers_its_loss_and_the_model_is_left_as_it_was(scene: Scene) -> None:
    few, before = scene.everyone.take(np.arange(30)), to_vector(scene.student)
    update = -0.02 * gradients(scene.gradient, few)[:1].mean(axis=0).astype(np.float64)
    drops = loss_drop(scene.student, update, few)
    assert drops[0] > 0
    np.testing.assert_array_equal(to_vector(scene.student), before)
    assert np.isfinite(loss_drop(scene.student, 1e30 * np.ones(update.size), few)).all()


@given(st.lists(st.lists(st.floats(-20, 20), min_size=3, max_size=3), min_size=1, max_size=6), st.floats(-50, 50))
def test_sureness_is_the_log_of_the_odds_and_knows_no_constant(rows: list[list[float]], constant: float) -> None:
    logits, labels = np.array(rows), np.arange(len(rows)) % 3
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    true = chances[np.arange(len(rows)), labels]
    rest = np.where(np.arange(3) == labels[:, None], 0.0, chances).sum(axis=1)
    np.testing.assert_allclose(surety(logits, labels), np.log(true) - np.log(rest), atol=1e-9)
    np.testing.assert_allclose(surety(logits + constant, labels), surety(logits, labels), atol=1e-9)


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=3, max_size=30), st.floats(0.5, 3), st.floats(-5, 5))
def test_what_is_beyond_the_usual_knows_neither_scale_nor_level_of_it(pairs: list[tuple[float, float]], scale: float, level: float) -> None:
    found, usual = np.array(pairs).T
    rest = beyond(found, usual)
    assert abs(rest.mean()) < 1e-9
    assert abs(rest @ usual) < 1e-7
    np.testing.assert_allclose(beyond(scale * usual + level, usual), np.zeros(len(usual)), atol=1e-9)
    if np.ptp(usual) > 1e-3:
        np.testing.assert_allclose(beyond(found, scale * usual + level), rest, atol=1e-6)
