"""Every rewrite that a student can have, by name: what a search measures on a device, heals where it pays, and goes on from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.compress.prune.anatomy import anatomy
from shared.compress.rewrite.activation import cheap_activation, is_expensive
from shared.compress.rewrite.heads import merge_heads
from shared.compress.rewrite.split import Split, lost, split_convolutions
from shared.compress.rewrite.widths import fill_up
from shared.models.network import Network

_SPLITS: Mapping[Split, str] = {"separable": "depthwise + pointwise", "factorised": "1 × k + k × 1"}


@dataclass(frozen=True)
class Rewrite:
    """A name for a table, the student that comes of it, and whether that answers as the old one (then nothing has to be healed)."""

    name: str
    student: Network
    exact: bool = False


def propose_rewrites(student: Network, multiple: int) -> list[Rewrite]:
    """All that apply: convolutions split in all blocks, and in the half of them that loses least; GELU to ReLU; heads merged in pairs;
    inner widths filled up to a ``multiple``. Empty where none does."""
    found = []
    for kind, name in _SPLITS.items():
        missed = lost(student, kind)
        order = sorted(missed, key=lambda place: (missed[place], place))
        counts = sorted({len(order), (len(order) + 1) // 2} - {0}, reverse=True)
        for count in counts:
            made = split_convolutions(student, kind, sorted(order[:count]))
            found.append(Rewrite(f"{name}, {count} of {len(order)} blocks", made))
    if is_expensive(student):
        found.append(Rewrite("GELU→ReLU", cheap_activation(student)))
    heads = [block.heads for block in anatomy(student).blocks]
    if any(heads) and all(count % 2 == 0 for count in heads):
        found.append(Rewrite(f"heads merged {max(heads)}→{max(heads) // 2}", merge_heads(student)))
    filled = fill_up(student, multiple)
    if filled is not student:
        found.append(Rewrite(f"widths filled up to multiples of {multiple}", filled, exact=True))
    return found
