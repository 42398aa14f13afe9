"""What the attacks are shown is what an observer of a real round would see."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.sight import DELTA, sight
from shared.privacy.accounting import rho_for

SIZE, INSTITUTIONS = 4000, 5


@pytest.fixture(scope="module")
def updates() -> list[NDArray[np.float32]]:
    random = np.random.default_rng(5)
    return [random.normal(0, 0.01 * (place + 1), SIZE).astype(np.float32) for place in range(INSTITUTIONS)]


def test_the_sum_is_the_mean_update_to_a_step(updates: list[NDArray[np.float32]]) -> None:
    (seen,) = sight(updates, [], 0)["sum"]
    step = max(np.linalg.norm(one) for one in updates) / ((2**15 - 1) // INSTITUTIONS)
    assert np.abs(seen - np.mean(updates, axis=0)).max() < step
    assert [one.tolist() for one in sight(updates, [], 0)["plain"]] == [one.tolist() for one in updates]


def test_masked_updates_say_nothing_of_their_own_and_differ_from_seed_to_seed(updates: list[NDArray[np.float32]]) -> None:
    first, second = sight(updates, [], 0)["masked"], sight(updates, [], 1)["masked"]
    for one, masked, other in zip(updates, first, second, strict=True):
        assert abs(np.corrcoef(one, masked)[0, 1]) < 5 / np.sqrt(SIZE)
        assert abs(np.corrcoef(masked, other)[0, 1]) < 5 / np.sqrt(SIZE)
        # Uniform over the ring: its deviation is the width over √12, whatever the update.
        assert masked.std() == pytest.approx(np.ptp(masked) / np.sqrt(12), rel=0.05)


@pytest.mark.parametrize("epsilon", [8.0, 2.0])
def test_noise_is_as_large_as_its_epsilon_needs(updates: list[NDArray[np.float32]], epsilon: float) -> None:
    found = sight(updates, [epsilon], 0)
    noise = found[f"noised.{epsilon:g}"][0] - found["sum"][0]
    clip = max(float(np.linalg.norm(one)) for one in updates)
    # All five add noise, four of them are counted on; rounding lengthens an update by one per cent.
    normal = clip / np.sqrt(2 * rho_for(epsilon, DELTA)) * np.sqrt(5 / 4) / INSTITUTIONS
    assert noise.std() == pytest.approx(normal, rel=0.06)
