"""FLamby's baselines learn what logistic regression can learn, and repeat."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks import logistic
from benchmarks.flamby import Part


def line(seed: int, count: int) -> Part:
    inputs = np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)
    return Part(inputs, (inputs[:, 0] - inputs[:, 2] > 0).astype(np.int64))


def test_both_find_a_line() -> None:
    hospitals = [line(1, 60), line(2, 30)]
    test = line(3, 200)
    for model in (logistic.fedavg(hospitals, 0, rounds=5, learning_rate=0.1), logistic.pooled(hospitals, 0, epochs=60)):
        assert np.mean(logistic.predictions(model, test.inputs) == test.labels) > 0.9


def test_equal_seeds_give_equal_models() -> None:
    first, second, other = (logistic.fedavg([line(1, 20)], seed, rounds=1) for seed in (0, 0, 1))
    assert torch.equal(first.weight, second.weight)
    assert not torch.equal(first.weight, other.weight)
