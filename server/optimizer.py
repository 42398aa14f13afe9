"""Server-side optimisers over the averaged update (Reddi et al. 2021, "Adaptive federated optimization", algorithm 2).

The averaged update Δ points where the institutions went, so every step adds. Plain ``float64`` arrays and an explicit
state, so that a checkpoint holds everything and a resumed run takes bit-identical steps.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from shared.config import OptimizerSettings

Vector = NDArray[np.float64]
Moments = Mapping[str, Vector]
"""What an optimiser remembers: ``first`` and ``second`` moments by name, each ``float64 (d,)``; empty at first."""


def step(vector: NDArray[np.float32], update: Vector, moments: Moments, settings: OptimizerSettings) -> tuple[NDArray[np.float32], Moments]:
    """The student ``float32 (d,)`` after one averaged update ``float64 (d,)``, and the moments to keep for the next.

    The step is taken in ``float64`` and rounded once.
    """
    direction, kept = update, moments
    match settings.name:
        case "fedavg":
            kept = {}
        case "fedavgm":
            direction, kept = _momentum(update, moments, settings)
        case "fedadam" | "fedyogi":
            direction, kept = _adaptive(update, moments, settings)
    moved = settings.learning_rate * direction
    moved += vector
    return moved.astype(np.float32), kept


def _momentum(update: Vector, moments: Moments, settings: OptimizerSettings) -> tuple[Vector, Moments]:
    # m ← β m + Δ; x ← x + η m (Hsu et al. 2019)
    first = settings.momentum * moments.get("first", np.zeros_like(update)) + update
    return first, {"first": first}


def _adaptive(update: Vector, moments: Moments, settings: OptimizerSettings) -> tuple[Vector, Moments]:
    # m ← β₁ m + (1 − β₁) Δ; x ← x + η m / (√v + τ); v starts at τ², the least the paper allows.
    square = update * update
    first = settings.momentum * moments.get("first", np.zeros_like(update)) + (1.0 - settings.momentum) * update
    before = moments.get("second", np.full_like(update, settings.epsilon**2))
    if settings.name == "fedyogi":
        second = before - (1.0 - settings.second_momentum) * square * np.sign(before - square)
    else:
        second = settings.second_momentum * before + (1.0 - settings.second_momentum) * square
    return first / (np.sqrt(second) + settings.epsilon), {"first": first, "second": second}
