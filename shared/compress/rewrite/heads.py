"""Attention heads merged: fewer and wider ones that look where the old ones look on average."""

from __future__ import annotations

import torch

from shared.compress.prune.anatomy import blocks_of, mixer
from shared.compress.rewrite.remake import remade
from shared.errors import ConfigError
from shared.models.network import Network


def merge_heads(student: Network, group: int = 2) -> Network:
    """A new student in which each ``group`` of neighbouring heads is one, as wide as they are together: fewer maps and softmaxes.

    A merged head's scores are the means of the old ones' (its map the geometric mean of their maps, normalised), and every weight is a
    copy but for that scale: where heads look alike the function stays, else it has to be healed. Raises :class:`ConfigError` where a
    block's heads do not divide into such groups.
    """
    attending = [block for _, _, block in blocks_of(student) if mixer(block) is not None]
    settings = student.settings
    if not attending or group < 2 or any(settings.heads_of(place) % group for place in range(settings.depth)):
        raise ConfigError(f"the student's heads cannot be merged in groups of {group}; choose a divisor of the heads of every block")
    size = settings.width_of_heads() * group
    merged = remade(
        student,
        heads=settings.heads // group,
        block_heads=None if settings.block_heads is None else tuple(heads // group for heads in settings.block_heads),
        head_width=None if settings.head_width is None else size,
    )
    with torch.no_grad():
        for _, _, block in blocks_of(merged):
            # Scores are divided by the root of a head's width, which has grown: what is left of the mean is one more root.
            for kind in ("weight", "bias"):
                joined = block.get_parameter(f"query_key_value.{kind}")
                joined[: len(joined) // 3].mul_(group**-0.5)
    return merged
