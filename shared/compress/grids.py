"""Grids of 8-bit numbers, and which arithmetic can be trusted with them.

x86 without VNNI multiplies unsigned by signed bytes and adds two products in 16 bits, which saturate: with weights of
8 bits a file loses points of accuracy and no one is told. Weights of 7 bits cannot saturate (255 * 63 * 2 < 2^15), and
unsigned weights take another, exact instruction. VNNI and ARM add in 32 bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from shared.compress.here import CPUINFO, cpu_flags
from shared.errors import ArtifactError


@dataclass(frozen=True)
class WeightGrid:
    """Weights are ``zero + k``, ``|k| <= limit``; ``saturates`` says whether 16-bit accumulation can overflow."""

    limit: int
    zero: int
    saturates: bool


@dataclass(frozen=True)
class Recipe:
    """A way to quantise: the grid of the weights, and whether the projections around attention stay in float.

    Softmax makes the errors of queries, keys and values worse and sums them up: half of a small transformer's error
    came from these projections, which hold a third to a half of its weights. With ``weights_only`` all arithmetic is float: numbers
    of 8 bits are what the file holds, and the runtime makes floats of them when it loads it.
    """

    grid: WeightGrid
    attention_in_float: bool = False
    weights_only: bool = False


WEIGHTS_ONLY = "weights-only"
"""The recipe whose arithmetic is float: for where no operator is faster in INT8."""
_SIGNED_7, _UNSIGNED, _SIGNED = WeightGrid(63, 0, False), WeightGrid(127, 128, False), WeightGrid(127, 0, True)
PAYING = "-paying"
"""What the name of a recipe ends with if only those operators are in INT8 that are worth it on the device."""
_WHOLE = MappingProxyType(
    {
        "u8s8-7bit": Recipe(_SIGNED_7),
        "u8u8": Recipe(_UNSIGNED),
        "u8s8": Recipe(_SIGNED),
        "u8s8-7bit-float-attention": Recipe(_SIGNED_7, attention_in_float=True),
        "u8u8-float-attention": Recipe(_UNSIGNED, attention_in_float=True),
        "u8s8-float-attention": Recipe(_SIGNED, attention_in_float=True),
        WEIGHTS_ONLY: Recipe(WeightGrid(127, 0, False), weights_only=True),
    }
)
RECIPES = MappingProxyType(
    dict(_WHOLE) | {name + PAYING: how for name, how in _WHOLE.items() if not (how.attention_in_float or how.weights_only)}
)
WHOLE_GRIDS = tuple(name for name, how in _WHOLE.items() if not how.weights_only)
"""The recipes that a device is asked for, and that a student can learn with: each puts all it can into INT8."""
EXACT_IN_16_BITS = ("u8s8-7bit", "u8u8", "u8s8-7bit-float-attention", "u8u8-float-attention")
"""What may be signed where 8-bit products are added in 16 bits, best first."""
EXACT_IN_32_BITS = ("u8s8", "u8s8-float-attention", "u8s8-7bit-float-attention")
"""What may be signed where they are added in 32 bits, best first."""


def recipe(name: str) -> Recipe:
    """The recipe of that name; raises :class:`ArtifactError` for an unknown one."""
    if name not in RECIPES:
        raise ArtifactError(f"unknown grid '{name}'; known are {', '.join(RECIPES)}")
    return RECIPES[name]


def saturates_here(name: str) -> bool:
    """Whether a file of that name would overflow 16 bits on this CPU, though not on the devices it is meant for."""
    return name in RECIPES and RECIPES[name].grid.saturates and has_vnni() is not True


def has_vnni(cpuinfo: Path = CPUINFO) -> bool | None:
    """Whether this machine's CPU has VNNI; None where the system does not say. For information: no file depends on it."""
    flags = cpu_flags(cpuinfo)
    return bool(flags & {"avx512_vnni", "avx_vnni"}) if flags else None
