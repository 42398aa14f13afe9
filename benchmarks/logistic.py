"""FLamby's own baselines on its own terms: logistic regression, federated by FedAvg and pooled.

A check that the rebuilt protocol is the published one: the figures should come out near FLamby's.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks import flamby
from benchmarks.flamby import Part

LEARNING_RATE = 1e-3
"""FLamby's published rate, of both FedAvg (SGD) and the pooled baseline (Adam)."""


def fedavg(hospitals: Sequence[Part], seed: int, *, rounds: int = flamby.ROUNDS, learning_rate: float = LEARNING_RATE) -> nn.Linear:
    """FedAvg (McMahan et al. 2017): rounds of 100 SGD updates, weighted by records."""
    torch.manual_seed(seed)
    model = nn.Linear(hospitals[0].inputs.shape[1], 1)
    supplies = [_batches(part, np.random.default_rng([seed, place])) for place, part in enumerate(hospitals)]
    weights = [len(part.labels) / sum(len(other.labels) for other in hospitals) for part in hospitals]
    for _ in range(rounds):
        local = [_train(copy.deepcopy(model), supply, flamby.UPDATES, torch.optim.SGD, learning_rate) for supply in supplies]
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parts = [weight * one.get_parameter(name) for weight, one in zip(weights, local, strict=True)]
                parameter.copy_(torch.stack(parts).sum(dim=0))
    return model


def pooled(hospitals: Sequence[Part], seed: int, *, epochs: int = flamby.POOLED_EPOCHS) -> nn.Linear:
    """The same model on all records in one place: epochs of Adam."""
    torch.manual_seed(seed)
    everyone = flamby.together(hospitals)
    model = nn.Linear(everyone.inputs.shape[1], 1)
    updates = epochs * -(-len(everyone.labels) // flamby.BATCH)
    return _train(model, _batches(everyone, np.random.default_rng(seed)), updates, torch.optim.Adam, LEARNING_RATE)


def predictions(model: nn.Linear, inputs: NDArray[np.float32]) -> NDArray[np.int64]:
    """Class 1 where the probability exceeds a half."""
    with torch.no_grad():
        logits: NDArray[np.float32] = model(torch.from_numpy(inputs)).numpy()
    return (logits[:, 0] > 0).astype(np.int64)


def _train(
    model: nn.Linear,
    supply: Iterator[tuple[torch.Tensor, torch.Tensor]],
    updates: int,
    optimizer: type[torch.optim.SGD] | type[torch.optim.Adam],
    learning_rate: float,
) -> nn.Linear:
    steps = optimizer(model.parameters(), lr=learning_rate)
    for _ in range(updates):
        inputs, labels = next(supply)
        loss = nn.functional.binary_cross_entropy_with_logits(model(inputs)[:, 0], labels)
        steps.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        steps.step()
    return model


def _batches(part: Part, random: np.random.Generator) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    # Without end, in a new order every epoch; a round goes on where the last one stopped.
    inputs, labels = torch.from_numpy(part.inputs), torch.from_numpy(part.labels).float()
    while True:
        order = random.permutation(len(labels))
        for start in range(0, len(order), flamby.BATCH):
            chosen = torch.from_numpy(order[start : start + flamby.BATCH])
            yield inputs[chosen], labels[chosen]
