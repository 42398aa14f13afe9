"""One scale a channel for weights: the one with the smallest mean-square error of rounding and clipping together."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FRACTIONS = np.linspace(0.5, 1.0, 51)
_SMALLEST = 1e-12
_MOST_FOUND = 1024
_FOUND: dict[tuple[object, ...], NDArray[np.float32]] = {}


def channel_scales(weights: NDArray[Any], axis: int, limit: int) -> NDArray[np.float32]:
    """float32 ``(channels,)``: step sizes of the grid ``-limit .. limit`` for the slices of ``weights`` along ``axis``.

    Tries fractions of the step that would just reach the channel's largest weight, and keeps the best of each channel.

    Asked again about equal weights, as when files with other operators in INT8 are compared, it remembers.
    """
    key = (hashlib.sha256(np.ascontiguousarray(weights).tobytes()).digest(), weights.shape, weights.dtype.str, axis, limit)
    found = _FOUND.get(key)
    if found is None:
        found = _FOUND[key] = _searched(weights, axis, limit)
        while len(_FOUND) > _MOST_FOUND:
            _FOUND.pop(next(iter(_FOUND)), None)
    return found.copy()


def _searched(weights: NDArray[Any], axis: int, limit: int) -> NDArray[np.float32]:
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
