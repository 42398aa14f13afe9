"""What a smaller student keeps, decided from importances alone: blocks first, then attention heads, then inner channels."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from shared.compress.prune.anatomy import Anatomy, BlockAnatomy
from shared.compress.prune.importance import Importances
from shared.frozen import Frozen


class PruneSettings(Frozen):
    """How much is pruned at once.

    ``fraction`` is the part of the parameters to remove, ``keep_layers`` the part of the blocks that is kept at least, of
    ``first_depth`` blocks where some are gone already (0: of those that are there). Inner widths go down to whole multiples of
    ``multiple`` channels, what a device's kernel works on at once, and from four times that on to multiples of twice as many.
    """

    fraction: float = Field(default=0.3, ge=0.0, lt=1.0)
    keep_layers: float = Field(default=0.8, gt=0.0, le=1.0)
    first_depth: int = Field(default=0, ge=0, le=64)
    multiple: int = Field(default=16, ge=1, le=4096)


class PruningPlan(Frozen):
    """What is kept, by position in the student that is pruned: ``blocks``, and of each of them ``heads`` and ``inner`` channels.

    Heads and channels are empty for a block that has none to lose.
    """

    blocks: tuple[int, ...] = Field(min_length=1)
    heads: tuple[tuple[int, ...], ...]
    inner: tuple[tuple[int, ...], ...]


def keep_all(student: Anatomy) -> PruningPlan:
    """The plan that changes nothing."""
    blocks = student.blocks
    return PruningPlan(
        blocks=tuple(range(len(blocks))),
        heads=tuple(tuple(range(block.heads)) for block in blocks),
        inner=tuple(tuple(range(block.inner)) for block in blocks),
    )


def decide(student: Anatomy, worth: Importances, settings: PruneSettings) -> PruningPlan:
    """The plan that removes about ``settings.fraction`` of the parameters, or as many as its bounds allow. A pure function.

    Blocks go while they fit into what is to be removed, the one whose removal costs least first; a block of unknown cost stays.
    What is left to remove is shared among heads and inner channels by the parameters that they take. Heads compete by their
    estimate as a part of their block's root sum of squares (Molchanov et al. 2019, section 3.2, normalise layers so); every block keeps
    one. Of inner channels the next multiple that costs the least for its parameters goes, until enough is gone.
    """
    left = settings.fraction * student.parameters
    kept = _kept_blocks(student, worth, settings, left)
    left -= sum(block.parameters for place, block in enumerate(student.blocks) if place not in kept)
    of_heads = sum(student.blocks[place].heads * student.blocks[place].per_head for place in kept)
    of_inner = sum(student.blocks[place].inner * student.blocks[place].per_inner for place in kept)
    heads = _kept_heads(student, worth, kept, left * of_heads / max(of_heads + of_inner, 1))
    left -= sum((student.blocks[place].heads - len(own)) * student.blocks[place].per_head for place, own in heads.items())
    inner = _kept_inner(student, worth, kept, settings.multiple, left)
    return PruningPlan(blocks=kept, heads=tuple(heads[place] for place in kept), inner=tuple(inner[place] for place in kept))


def removable_blocks(student: Anatomy, kept: tuple[int, ...], settings: PruneSettings) -> tuple[int, ...]:
    """Which of the ``kept`` blocks may still go: not the last of a stage, and not below the part that is kept at least."""
    least = math.ceil(settings.keep_layers * (settings.first_depth or len(student.blocks)) - 1e-9)
    if len(kept) <= max(least, 1):
        return ()
    stages = [student.blocks[place].stage for place in kept]
    return tuple(place for place in kept if student.blocks[place].removable and stages.count(student.blocks[place].stage) > 1)


def next_width(width: int, multiple: int) -> int:
    """The largest whole multiple below ``width``; ``width`` itself where there is none but 0."""
    step = 2 * multiple if width > 4 * multiple else multiple
    return (width - 1) // step * step or width


def best(importance: NDArray[np.float64], count: int) -> tuple[int, ...]:
    """The positions of the ``count`` largest, in their order; of equal ones the first."""
    return tuple(sorted(np.argsort(-importance, kind="stable")[:count].tolist()))


def _kept_blocks(student: Anatomy, worth: Importances, settings: PruneSettings, left: float) -> tuple[int, ...]:
    kept = tuple(range(len(student.blocks)))
    while True:
        known = [place for place in removable_blocks(student, kept, settings) if np.isfinite(worth.blocks[place])]
        fitting = [place for place in known if student.blocks[place].parameters <= left]
        if not fitting:
            return kept
        gone = min(fitting, key=lambda place: (worth.blocks[place], place))
        left -= student.blocks[gone].parameters
        kept = tuple(place for place in kept if place != gone)


def _kept_heads(student: Anatomy, worth: Importances, kept: tuple[int, ...], left: float) -> dict[int, tuple[int, ...]]:
    shares = {place: _share(worth.heads[place]) for place in kept}
    order = sorted((share, place, head) for place in kept for head, share in enumerate(shares[place].tolist()))
    heads = {place: set(range(student.blocks[place].heads)) for place in kept}
    for _, place, head in order:
        if len(heads[place]) > 1 and student.blocks[place].per_head <= left:
            heads[place].remove(head)
            left -= student.blocks[place].per_head
    return {place: tuple(sorted(own)) for place, own in heads.items()}


def _kept_inner(student: Anatomy, worth: Importances, kept: tuple[int, ...], multiple: int, left: float) -> dict[int, tuple[int, ...]]:
    widths = {place: student.blocks[place].inner for place in kept}
    while True:
        offers = [_offer(student.blocks[place], np.sort(worth.inner[place])[::-1], widths[place], multiple, place) for place in kept]
        # A multiple goes too where more of it than not is still to be removed.
        fitting = [(cost, place, width) for cost, place, width, freed in offers if 0 < freed <= 2 * left]
        if not fitting:
            return {place: best(worth.inner[place], widths[place]) for place in kept}
        _, place, width = min(fitting)
        left -= (widths[place] - width) * student.blocks[place].per_inner
        widths[place] = width


def _offer(block: BlockAnatomy, falling: NDArray[np.float64], width: int, multiple: int, place: int) -> tuple[float, int, int, int]:
    """What the next multiple costs for each parameter, whose block it is, the width without it, and the parameters that it frees."""
    lower = next_width(width, multiple) if width else 0
    freed = (width - lower) * block.per_inner
    return float(falling[lower:width].sum()) / max(freed, 1), place, lower, freed


def _share(estimates: NDArray[np.float64]) -> NDArray[np.float64]:
    length = float(np.sqrt(np.square(estimates).sum()))
    return estimates / length if length else estimates
