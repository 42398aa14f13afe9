"""Whether this machine is of a device's kind, so that what is measured here holds there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

CPUINFO = Path("/proc/cpuinfo")
FLAGS: Mapping[str, str] = MappingProxyType(
    {"avx512": "avx512f", "avx512-vnni": "avx512_vnni", "avx-vnni": "avx_vnni", "neon": "asimd", "dotprod": "asimddp"}
)
"""What the system calls the instruction sets of profiles, where it is not the same."""
CHOSEN_BY = frozenset({"avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm", "sve"})
"""Instruction sets by which onnxruntime chooses its kernels."""
ANY = "any"


def cpu_flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """What this CPU can do, in the system's words; empty where it does not say."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split(":", 1)[1].split())


def is_here(instruction_sets: Collection[str], cpuinfo: Path = CPUINFO) -> bool:
    """Whether this CPU has the ``instruction_sets`` of a profile and no others that kernels would rather use; ``any`` is everywhere.

    False where the system does not say what it has.
    """
    if ANY in instruction_sets:
        return True
    return cpu_flags(cpuinfo) & CHOSEN_BY == {FLAGS.get(name, name) for name in instruction_sets}
