"""Whether this machine is of a device's kind, so that what is measured here holds there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "avx2": "avx2",
        "fma": "fma",
        "avx512": "avx512f",
        "avx512-vnni": "avx512_vnni",
        "avx-vnni": "avx_vnni",
        "neon": "asimd",
        "dotprod": "asimddp",
        "i8mm": "i8mm",
    }
)
"""What the system calls the instruction sets of profiles."""
ANY = "any"


def is_here(instruction_sets: Collection[str], cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU has the ``instruction_sets`` of a profile and no others that kernels would rather use; ``any`` is everywhere.

    False where the system does not say what it has.
    """
    if ANY in instruction_sets:
        return True
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return False
    flags = {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split(":", 1)[1].split()}
    return {name for name, flag in FLAGS.items() if flag in flags} == set(instruction_sets)
