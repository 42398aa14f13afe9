"""What a student can lose: its blocks, their attention heads and the channels inside them, in numbers alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import nn

from shared.models.mobile import InvertedResidual
from shared.models.network import Network
from shared.models.residual import ResidualBlock

Kind = Literal["joined", "heads", "inner"]


class Axis(NamedTuple):
    """One axis of a parameter whose places are units of a kind: ``joined`` are query, key and value of all heads."""

    axis: int
    kind: Kind


AXES: Mapping[str, Axis] = {
    "query_key_value.weight": Axis(0, "joined"),
    "query_key_value.bias": Axis(0, "joined"),
    "mix.weight": Axis(1, "heads"),
    "widen.weight": Axis(0, "inner"),
    "widen.bias": Axis(0, "inner"),
    "look.weight": Axis(0, "inner"),
    "look.bias": Axis(0, "inner"),
    "narrow.weight": Axis(1, "inner"),
    **{f"first.{part}": Axis(0, "inner") for part in ("weight", "bias", "gain", "shift")},
    **{f"first.mix.{part}": Axis(0, "inner") for part in ("weight", "bias", "gain", "shift")},
    "second.weight": Axis(1, "inner"),
    **{f"second.look.{part}": Axis(0, "inner") for part in ("weight", "bias", "gain", "shift")},
    "second.mix.weight": Axis(1, "inner"),
}
"""Of each parameter within a block the axis that gets shorter; those of all others stay as they are."""


@dataclass(frozen=True)
class BlockAnatomy:
    """One block: where it is, whether the net is well defined without it, what it consists of, and how many numbers that takes.

    ``heads`` 0: it has no attention. ``inner`` 0: nothing inside can be narrowed. ``per_head`` and ``per_inner`` are the parameters
    that one of each takes.
    """

    name: str
    stage: int
    removable: bool
    heads: int
    inner: int
    parameters: int
    per_head: int
    per_inner: int


@dataclass(frozen=True)
class Anatomy:
    """All blocks of a student in the order of its depth, and all of its parameters."""

    blocks: tuple[BlockAnatomy, ...]
    parameters: int

    @property
    def heads(self) -> int:
        """Attention heads in all blocks."""
        return sum(block.heads for block in self.blocks)

    @property
    def inner(self) -> int:
        """Inner channels in all blocks."""
        return sum(block.inner for block in self.blocks)


def anatomy(student: Network) -> Anatomy:
    """What a student of any family can lose."""
    blocks = tuple(_block(name, stage, module) for name, stage, module in blocks_of(student))
    return Anatomy(blocks, sum(parameter.numel() for parameter in student.parameters() if parameter.requires_grad))


def blocks_of(student: Network) -> list[tuple[str, int, nn.Module]]:
    """Name, stage (0 where there are none) and module of each block, in the order of the depth."""
    if hasattr(student, "blocks"):
        return [(f"blocks.{place}", 0, block) for place, block in enumerate(student.get_submodule("blocks").children())]
    stages = student.get_submodule("stages").children()
    return [(f"stages.{stage}.{place}", stage, block) for stage, part in enumerate(stages) for place, block in enumerate(part.children())]


def inner_widths(student: Network) -> list[int]:
    """How wide each block is inside, whether it can be narrowed or not: what the setting ``inner`` says of it."""
    found = []
    for _, _, block in blocks_of(student):
        parameters = dict(block.named_parameters())
        # What writes the inner channels, by family; of a factorised convolution the second half.
        name = next(
            name for name in ("widen.weight", "look.weight", "first.weight", "first.mix.weight", "first.down.weight") if name in parameters
        )
        found.append(len(parameters[name]))
    return found


def reader(block: nn.Module) -> nn.Module | None:
    """What reads the inner channels of a block; ``None`` where they cannot be told apart."""
    if isinstance(block, ResidualBlock):
        return None if hasattr(block.second, "across") else block.second
    if isinstance(block, InvertedResidual) and block.widen is None:
        return None
    return block.get_submodule("narrow")


def mixer(block: nn.Module) -> nn.Module | None:
    """What reads the heads of a block side by side; ``None`` without attention."""
    return block.get_submodule("mix") if hasattr(block, "query_key_value") else None


def _block(name: str, stage: int, block: nn.Module) -> BlockAnatomy:
    heads = int(getattr(block, "heads", 0))
    inner = 0 if reader(block) is None else next(len(value) for key, value in block.named_parameters() if AXES.get(key) == (0, "inner"))
    taken = {"joined": 0, "heads": 0, "inner": 0}
    for key, value in block.named_parameters():
        if key in AXES:
            taken[AXES[key].kind] += value.numel()
    return BlockAnatomy(
        name=name,
        stage=stage,
        removable=_removable(block),
        heads=heads,
        inner=inner,
        parameters=sum(value.numel() for value in block.parameters()),
        per_head=(taken["joined"] + taken["heads"]) // heads if heads else 0,
        per_inner=taken["inner"] // inner if inner else 0,
    )


def _removable(block: nn.Module) -> bool:
    if isinstance(block, ResidualBlock):
        return isinstance(block.around, nn.Identity)
    return block.adds if isinstance(block, InvertedResidual) else True
