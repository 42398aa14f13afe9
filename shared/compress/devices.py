"""Devices as frozen profiles: which grids of 8-bit numbers their arithmetic can be trusted with, and why.

x86 without VNNI multiplies unsigned by signed bytes and adds two products in 16 bits, which saturate: with weights of
8 bits a file loses points of accuracy and no one is told. Weights of 7 bits cannot saturate (255 * 63 * 2 < 2^15), and
unsigned weights take another, exact instruction. VNNI and ARM add in 32 bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from shared.errors import ArtifactError


@dataclass(frozen=True)
class WeightGrid:
    """Weights are ``zero + k``, ``|k| <= limit``; ``saturates`` says whether 16-bit accumulation can overflow."""

    limit: int
    zero: int
    saturates: bool


@dataclass(frozen=True)
class Device:
    """A kind of device: the grids that may be signed for it, best first."""

    name: str
    grids: tuple[str, ...]
    reason: str


WEIGHT_GRIDS = MappingProxyType(
    {
        "u8s8-7bit": WeightGrid(limit=63, zero=0, saturates=False),
        "u8u8": WeightGrid(limit=127, zero=128, saturates=False),
        "u8s8": WeightGrid(limit=127, zero=0, saturates=True),
    }
)
DEVICES = MappingProxyType(
    {
        device.name: device
        for device in (
            Device("portable", ("u8s8-7bit", "u8u8"), "must be right on every CPU, so no grid that can saturate"),
            Device("x86-avx2", ("u8s8-7bit", "u8u8"), "AVX2 adds 8-bit products in 16 bits that saturate"),
            Device("x86-avx512-vnni", ("u8s8", "u8s8-7bit"), "VNNI adds 8-bit products in 32 bits: full-range signed weights are exact"),
        )
    }
)
GRIDS = MappingProxyType({device.name: device.grids for device in DEVICES.values()})
"""The candidates to try for each device, best first."""


def weight_grid(name: str) -> WeightGrid:
    """The grid of that name; raises :class:`ArtifactError` for an unknown one."""
    if name not in WEIGHT_GRIDS:
        raise ArtifactError(f"unknown grid '{name}'; known are {', '.join(WEIGHT_GRIDS)}")
    return WEIGHT_GRIDS[name]


def has_vnni(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool | None:
    """Whether this machine's CPU has VNNI; None where the system does not say. For information: no file depends on it."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        return None
    flags = {flag for line in text.splitlines() if line.startswith(("flags", "Features")) for flag in line.split(":", 1)[1].split()}
    return bool(flags & {"avx512_vnni", "avx_vnni"}) if flags else None
