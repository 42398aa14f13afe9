"""From a plan to the smaller student: exactly the kept parts, copied."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from shared.compress.prune.anatomy import AXES, Anatomy, BlockAnatomy, anatomy, blocks_of, inner_widths
from shared.compress.prune.plan import PruningPlan, keep_all
from shared.compress.rewrite.plain import plain_convolutions
from shared.compress.rewrite.remake import remade, shared_entry
from shared.errors import ConfigError
from shared.models.convolutions import ShiftedConv
from shared.models.network import Network


def prune(student: Network, plan: PruningPlan) -> Network:
    """A new student of the parts that the plan keeps; where they are all, an equal one. The given one stays as it is.

    Where what is left out contributes nothing, the function is the same up to the rounding of float32: standardised convolutions
    become plain ones first (:mod:`shared.compress.rewrite.plain`). Raises :class:`ConfigError` for a plan that is not one of
    this student.
    """
    whole = anatomy(student)
    check(whole, plan)
    if plan.inner != tuple(keep_all(whole).inner[place] for place in plan.blocks):
        student = plain_convolutions(student)
    pruned = remade(student, **pruned_settings(student, whole, plan))
    # Blocks have other numbers than their old ones: what their names brought along is not theirs.
    sources = blocks_of(student)
    with torch.no_grad():
        for own, place, heads, inner in zip(blocks_of(pruned), plan.blocks, plan.heads, plan.inner, strict=True):
            _copy(sources[place][2], own[2], whole.blocks[place], heads, inner)
    return pruned


def pruned_settings(student: Network, whole: Anatomy, plan: PruningPlan) -> dict[str, Any]:
    """The settings that change, by name; none for a plan that keeps everything."""
    settings = student.settings
    if plan == keep_all(whole):
        return {}
    kept = [whole.blocks[place] for place in plan.blocks]
    changes: dict[str, Any] = {"depth": len(kept)}
    if not isinstance(settings.convolution, str):
        changes["convolution"] = shared_entry([settings.convolution[place] for place in plan.blocks])
    if any(block.heads for block in kept):
        changes |= _head_settings(student, [len(heads) for heads in plan.heads])
    else:
        stages = [block.stage for block in kept]
        # Stages of blocks; a perceptron has none of either.
        changes["stage_blocks"] = None if hasattr(student, "blocks") else tuple(stages.count(stage) for stage in sorted(set(stages)))
    if settings.inner is not None or any(len(own) != block.inner for own, block in zip(plan.inner, kept, strict=True)):
        widths = inner_widths(student)
        changes["inner"] = shared_entry([len(own) or widths[place] for place, own in zip(plan.blocks, plan.inner, strict=True)])
    return changes


def check(student: Anatomy, plan: PruningPlan) -> None:
    """Raises :class:`ConfigError` where the plan is not one of such a student."""
    numbers = len(plan.blocks) == len(plan.heads) == len(plan.inner) and _part(plan.blocks, len(student.blocks))
    if not numbers:
        raise ConfigError("the pruning plan names blocks that the student has not; make one from this student's own importances")
    gone = [block for place, block in enumerate(student.blocks) if place not in plan.blocks]
    stages = {student.blocks[place].stage for place in plan.blocks}
    if any(not block.removable or block.stage not in stages for block in gone):
        raise ConfigError("the pruning plan removes a block that the student's shape needs; keep the first block of each stage")
    for place, heads, inner in zip(plan.blocks, plan.heads, plan.inner, strict=True):
        block = student.blocks[place]
        if not (_part(heads, block.heads) and _part(inner, block.inner)):
            raise ConfigError(f"the pruning plan keeps heads or channels that block {place} has not, or none of them; make it anew")


def _part(kept: tuple[int, ...], count: int) -> bool:
    return kept == tuple(sorted(set(kept))) and (bool(kept) == bool(count)) and all(0 <= place < count for place in kept)


def _head_settings(student: Network, heads: list[int]) -> dict[str, Any]:
    found = shared_entry(heads)
    size = student.settings.width_of_heads()
    if isinstance(found, tuple):
        return {"heads": max(found), "block_heads": found, "head_width": size}
    same = found * size == student.settings.width and student.settings.head_width is None
    return {"heads": found, "block_heads": None, "head_width": None if same else size}


def _copy(source: nn.Module, own: nn.Module, block: BlockAnatomy, heads: tuple[int, ...], inner: tuple[int, ...]) -> None:
    places = {"inner": torch.tensor(inner, dtype=torch.int64)}
    if block.heads:
        width = source.get_parameter("mix.weight").shape[1]
        places["heads"] = _spread(heads, width // block.heads)
        places["joined"] = torch.cat([places["heads"] + part * width for part in range(3)])
    shorter = []
    for name, parameter in own.named_parameters():
        value: Tensor = source.get_parameter(name)
        axis = AXES.get(name)
        if axis is not None and value.shape != parameter.shape:
            value = value.index_select(axis.axis, places[axis.kind])
            shorter += [name.removesuffix(".weight")] if axis.axis == 1 else []
        parameter.copy_(value)
    for name in shorter:
        # What a kernel with fewer inputs is made of says another kernel.
        layer, whole = own.get_submodule(name), source.get_submodule(name)
        if isinstance(layer, ShiftedConv) and isinstance(whole, ShiftedConv):
            layer.set_affine(whole.weight.index_select(1, places["inner"]), *whole.affine())


def _spread(heads: tuple[int, ...], width: int) -> Tensor:
    return (torch.tensor(heads)[:, None] * width + torch.arange(width)).flatten()
