"""Feature maps as tokens: the cells of a grid that is never finer than 8 × 8, so that targets stay small enough to keep."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

FINEST = 8
"""Cells of a side; finer maps are averaged down."""


def cells(maps: Tensor) -> Tensor:
    """``(batch, channels, height, width)`` -> ``(batch, cells, channels)``, row by row."""
    return _coarse(maps).flatten(2).transpose(1, 2)


def activation_attention(maps: Tensor) -> Tensor:
    """Where a convolutional net looks: mean square over channels, as a map of unit length, ``(batch, cells)``.

    Zagoruyko & Komodakis 2017, "Paying more attention to attention", F²_sum and eq. 2.
    """
    energy = _coarse(maps.square().mean(dim=1, keepdim=True)).flatten(1)
    return functional.normalize(energy, dim=1)


def _coarse(maps: Tensor) -> Tensor:
    height, width = maps.shape[-2:]
    if height <= FINEST and width <= FINEST:
        return maps
    return functional.adaptive_avg_pool2d(maps, (min(height, FINEST), min(width, FINEST)))
