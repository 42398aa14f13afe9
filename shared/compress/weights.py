"""One scale a channel for weights: the one with the smallest mean-square error of rounding and clipping together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_FRACTIONS = np.linspace(0.5, 1.0, 51)
_SMALLEST = 1e-12


def channel_scales(weights: NDArray[Any], axis: int, limit: int) -> NDArray[np.float32]:
    """float32 ``(channels,)``: step sizes of the grid ``-limit .. limit`` for the slices of ``weights`` along ``axis``.

    Tries fractions of the step that would just reach the channel's largest weight, and keeps the best of each channel.
    """
    rows = np.moveaxis(np.asarray(weights, np.float64), axis, 0).reshape(weights.shape[axis], -1)
    largest = np.maximum(np.abs(rows).max(axis=1), _SMALLEST)
    best, scales = np.full(len(rows), np.inf), largest / limit
    for fraction in _FRACTIONS[::-1]:
        steps = (largest * fraction / limit)[:, None]
        errors = ((np.clip(np.rint(rows / steps), -limit, limit) * steps - rows) ** 2).sum(axis=1)
        better = errors < best
        best[better], scales[better] = errors[better], steps[better, 0]
    steps32: NDArray[np.float32] = scales.astype(np.float32)
    return steps32
