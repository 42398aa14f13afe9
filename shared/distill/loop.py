"""The loop of every fit: seeded shuffles, even batches, AdamW, a cosine rate. No threads, no workers, no global randomness."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from shared.distill.adamw import FlatAdamW
from shared.errors import NotFiniteError
from shared.settings import TrainingSettings

LAST_RATE = 0.1
"""Share of the learning rate that is left at the end."""


def epochs(
    parameters: Sequence[nn.Parameter],
    loss: Callable[[Tensor], Tensor],
    records: int,
    training: TrainingSettings,
    generator: torch.Generator,
) -> Iterator[float]:
    """Yields the mean loss of each epoch once it is done; stop asking to stop the fit.

    ``loss(rows)`` is the mean over the records at ``rows``, int64 ``(batch,)``. The rate falls by a half cosine from
    ``learning_rate`` to a tenth of it (Loshchilov & Hutter 2017). Raises :class:`NotFiniteError` where the loss leaves the numbers.
    """
    optimizer = FlatAdamW(parameters, training.weight_decay)
    batches = -(-records // training.batch_size)
    steps, step = training.epochs * batches, 0
    for _ in range(training.epochs):
        total = 0.0
        for rows in torch.randperm(records, generator=generator).tensor_split(batches):
            value = loss(rows)
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step(training.learning_rate * rate_at(step / steps))
            total += float(value.detach()) * len(rows)
            step += 1
        if not math.isfinite(total):
            raise NotFiniteError("training left the finite numbers; lower training.learning_rate")
        yield total / records


def rate_at(done: float) -> float:
    """The share of the learning rate that is left when ``done`` (0 to 1) of the steps are."""
    return LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * done)) / 2
