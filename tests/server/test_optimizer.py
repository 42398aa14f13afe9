"""The server-side optimisers against the formulas of Reddi et al. 2021, written out in plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from server.optimizer import Moments, step
from shared.config import OptimizerSettings

UPDATES = np.random.default_rng(5).normal(0, 0.1, (4, 6))


def plain(name: str, settings: OptimizerSettings) -> list[float]:
    """One coordinate at a time, in Python floats."""
    result = []
    for coordinate in range(UPDATES.shape[1]):
        x, first, second = 0.25, 0.0, settings.epsilon**2
        for delta in UPDATES[:, coordinate].tolist():
            if name == "fedavg":
                direction = delta
            elif name == "fedavgm":
                first = settings.momentum * first + delta
                direction = first
            else:
                first = settings.momentum * first + (1 - settings.momentum) * delta
                if name == "fedadam":
                    second = settings.second_momentum * second + (1 - settings.second_momentum) * delta**2
                else:
                    second = second - (1 - settings.second_momentum) * delta**2 * math.copysign(1.0, second - delta**2)
                direction = first / (math.sqrt(second) + settings.epsilon)
            x = float(np.float32(x + settings.learning_rate * direction))
        result.append(x)
    return result


@pytest.mark.parametrize("name", ["fedavg", "fedavgm", "fedadam", "fedyogi"])
def test_each_optimiser_follows_its_formula(name: str) -> None:
    settings = OptimizerSettings.model_validate({"name": name, "learning_rate": 0.5, "momentum": 0.8, "second_momentum": 0.95})
    vector = np.full(6, 0.25, np.float32)
    moments: Moments = {}
    for update in UPDATES:
        vector, moments = step(vector, update, moments, settings)
    np.testing.assert_allclose(vector, plain(name, settings), rtol=1e-6)
    assert vector.dtype == np.float32


def test_fedavg_remembers_nothing_and_goes_the_whole_way() -> None:
    vector, moments = step(np.zeros(6, np.float32), UPDATES[0], {}, OptimizerSettings())
    np.testing.assert_array_equal(vector, UPDATES[0].astype(np.float32))
    assert moments == {}


def test_a_step_does_not_change_what_it_was_given() -> None:
    before = {"first": np.ones(6), "second": np.ones(6)}
    vector = np.ones(6, np.float32)
    step(vector, UPDATES[0], before, OptimizerSettings(name="fedyogi"))
    np.testing.assert_array_equal(before["first"], np.ones(6))
    np.testing.assert_array_equal(vector, np.ones(6, np.float32))
