"""How far a projected state is from the teacher's, by the strategy of a record's head: classes, surface or structure.

All take ``found`` and ``wanted`` ``(batch, tokens, width)`` and a mask, and give ``(batch,)``, at least 0.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

import torch
from torch import Tensor
from torch.nn import functional

from shared.distill.heads import Heads, put_back
from shared.distill.masks import state_distance, token_mean
from shared.heads import NONE
from shared.task import Strategy

WINDOW = 3
"""Cells of a side of the window in which maps are compared. Evenly weighted: the paper's Gaussian of 11 does not fit on 8 × 8 cells."""
RANGE = 6.0
"""The dynamic range of normalised states: three deviations to either side of 0."""
LUMINANCE, CONTRAST = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2
"""The paper's constants C1 and C2, which keep flat windows from dividing by zero."""

Distance = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def surface_distance(found: Tensor, wanted: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over width and real tokens of the absolute distance: a few odd cells, as on a textured surface, do not decide it."""
    return token_mean((found - wanted).abs().mean(dim=-1), mask)


def structure_distance(found: Tensor, wanted: Tensor, mask: Tensor | None) -> Tensor:
    """Squared distance + ``1 - SSIM`` of the states as feature maps, the mean over windows and channels (Wang et al. 2004, eq. 13).

    Tokens are the cells of a square grid, row by row, perhaps after one token of its own (a class token), which has the squared
    distance alone. So have states that are no grid of at least 2 × 2 cells, and those with padding.
    """
    distance, side = state_distance(found, wanted, mask), grid_side(found.shape[1])
    if mask is not None or side < 2:
        return distance
    return distance + 1.0 - similarity(_maps(found, side), _maps(wanted, side))


def similarity(one: Tensor, other: Tensor) -> Tensor:
    """SSIM of feature maps ``(batch, width, side, side)`` in windows of :data:`WINDOW` cells: ``(batch,)``, in -1..1, 1 where equal."""
    window = min(WINDOW, one.shape[-1])

    def mean(maps: Tensor) -> Tensor:
        return functional.avg_pool2d(maps, window, stride=1)

    first, second = mean(one), mean(other)
    # The variance of a flat window is 0, but may be rounded to less.
    spreads = [(mean(maps.square()) - centre.square()).clamp_min(0.0) for maps, centre in ((one, first), (other, second))]
    joint = mean(one * other) - first * second
    luminance = (2 * first * second + LUMINANCE) / (first.square() + second.square() + LUMINANCE)
    found = luminance * (2 * joint + CONTRAST) / (spreads[0] + spreads[1] + CONTRAST)
    return found.mean(dim=(1, 2, 3)).clamp_max(1.0)


def grid_side(tokens: int) -> int:
    """The cells of a side, where ``tokens`` are a square grid or one token more; 0 where they are neither."""
    side = isqrt(tokens)
    return side if tokens - side**2 in (0, 1) else 0


DISTANCES: dict[Strategy, Distance] = {"classes": state_distance, "surface": surface_distance, "structure": structure_distance}


class Distances:
    """Each record's distance by the strategy of its head; those of no known head are compared as classes."""

    def __init__(self, heads: Heads | None = None, *, grid: bool = False) -> None:
        """``grid``: whether tokens are places in an image; where they are not there is no structure but the squared distance."""
        strategies: list[Strategy] = [head.strategy for head in heads.heads] if heads is not None else []
        if not grid:
            strategies = ["classes" if strategy == "structure" else strategy for strategy in strategies]
        self._heads, self._strategies = heads, strategies

    def __call__(self, found: Tensor, wanted: Tensor, mask: Tensor | None, labels: Tensor) -> Tensor:
        """``(batch,)``; ``labels`` int64 ``(batch,)``."""
        if self._heads is None or set(self._strategies) == {"classes"}:
            return state_distance(found, wanted, mask)
        chosen = [self._strategy(head) for head in self._heads.of(labels).cpu().tolist()]
        kinds = sorted(set(chosen))
        rows = [torch.tensor([row for row, one in enumerate(chosen) if one == kind]).to(found.device) for kind in kinds]
        masks = [None if mask is None else mask.index_select(0, part) for part in rows]
        states = [(found.index_select(0, part), wanted.index_select(0, part)) for part in rows]
        losses = [DISTANCES[kind](*pair, own) for kind, pair, own in zip(kinds, states, masks, strict=True)]
        return put_back(losses, rows)

    def _strategy(self, head: int) -> Strategy:
        return "classes" if head == NONE else self._strategies[head]


def _maps(states: Tensor, side: int) -> Tensor:
    return states[:, states.shape[1] - side**2 :].transpose(1, 2).reshape(len(states), states.shape[2], side, side)
