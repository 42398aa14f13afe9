"""The next smaller students of one student, for a local search that measures each, heals the best and goes on from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shared.compress.prune.anatomy import Anatomy, anatomy
from shared.compress.prune.importance import Importances, importance_counts, importances, magnitudes
from shared.compress.prune.plan import PruneSettings, PruningPlan, best, keep_all, next_width, removable_blocks
from shared.data.records import Records
from shared.models.network import Network


@dataclass(frozen=True)
class Step:
    """One step: a name for a table, such as ``1 of 6 blocks`` or ``inner 96→64``, and the plan that does it."""

    name: str
    plan: PruningPlan


def propose(student: Network, learnt: Records, held_out: Records, settings: PruneSettings) -> list[Step]:
    """As :func:`steps`, from records: estimates from those it learns from, costs of blocks from those ``held_out``.

    Without any record to learn from, heads and channels are told apart by the magnitude of their weights.
    """
    whole = anatomy(student)
    worth = importances(whole, importance_counts(student, learnt, held_out))
    if not len(learnt):
        known = magnitudes(student)
        worth = Importances(worth.blocks, known.heads, known.inner)
    return steps(whole, worth, settings)


def steps(student: Anatomy, worth: Importances, settings: PruneSettings) -> list[Step]:
    """The cheapest block less; in every block one head less; inner channels down to the next multiple, in all blocks of one width and in
    all blocks at once. Empty where nothing can go. ``settings.fraction`` is not looked at: a step is as small as it can be."""
    found = [*_block_step(student, worth, settings), *_head_steps(student, worth), *_inner_steps(student, worth, settings.multiple)]
    return list({step.plan: step for step in found}.values())


def _block_step(student: Anatomy, worth: Importances, settings: PruneSettings) -> list[Step]:
    whole = keep_all(student)
    known = [place for place in removable_blocks(student, whole.blocks, settings) if np.isfinite(worth.blocks[place])]
    if not known:
        return []
    gone = min(known, key=lambda place: (worth.blocks[place], place))
    kept = [place for place in whole.blocks if place != gone]
    plan = PruningPlan(
        blocks=tuple(kept), heads=tuple(whole.heads[place] for place in kept), inner=tuple(whole.inner[place] for place in kept)
    )
    return [Step(f"1 of {len(student.blocks)} blocks", plan)]


def _head_steps(student: Anatomy, worth: Importances) -> list[Step]:
    counts = [block.heads for block in student.blocks]
    if max(counts) < 2:
        return []
    heads = tuple(best(own, max(count - 1, min(count, 1))) for own, count in zip(worth.heads, counts, strict=True))
    return [Step(f"heads {max(counts)}→{max(counts) - 1}", keep_all(student).model_copy(update={"heads": heads}))]


def _inner_steps(student: Anatomy, worth: Importances, multiple: int) -> list[Step]:
    widths = [block.inner for block in student.blocks]
    lower = {width: next_width(width, multiple) for width in set(widths) if width and next_width(width, multiple) < width}
    groups = [[width] for width in sorted(lower)] + ([sorted(lower)] if len(lower) > 1 else [])
    found = []
    for group in groups:
        kept = [lower[width] if width in group else width for width in widths]
        inner = tuple(best(own, count) for own, count in zip(worth.inner, kept, strict=True))
        name = ", ".join(f"{width}→{lower[width]}" for width in group)
        found.append(Step(f"inner {name}", keep_all(student).model_copy(update={"inner": inner})))
    return found
