"""What the system says of itself: processor, cores, clock, caches, memory, and how fast one core reads each of them."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_ROOT = Path("/")
_KIB = 1024
_SETS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm", "sve")


@dataclass(frozen=True)
class Machine:
    """``clock`` in hertz and ``memory`` in bytes are None where the system does not say; ``caches`` in bytes, from the smallest."""

    processor: str
    architecture: str
    instruction_sets: tuple[str, ...]
    cores: int
    clock: float | None
    memory: int | None
    caches: tuple[int, ...]

    @property
    def adds_in_32_bits(self) -> bool:
        """Whether 8-bit products cannot overflow here: on ARM and with VNNI."""
        return self.architecture in ("aarch64", "arm64") or bool({"avx512_vnni", "avx_vnni"} & set(self.instruction_sets))

    @property
    def channel_block(self) -> int:
        """Channels that onnxruntime's kernels work on together."""
        return 8 if self.architecture == "x86_64" and "avx512f" not in self.instruction_sets else 16

    @property
    def blocked_floats(self) -> bool:
        """Whether float convolutions keep their maps in such blocks: onnxruntime has these kernels for x86."""
        return self.architecture == "x86_64"


def this_machine(root: Path = _ROOT) -> Machine:
    """What ``/proc`` and ``/sys`` below ``root`` say; what they do not is left open."""
    info = _text(root / "proc/cpuinfo")
    flags = set(_first(info, "flags").split()) | set(_first(info, "Features").split())
    return Machine(
        processor=_first(info, "model name") or _first(info, "Model") or platform.processor() or "unknown processor",
        architecture=platform.machine(),
        instruction_sets=tuple(name for name in _SETS if name in flags) or ("unknown",),
        cores=os.cpu_count() or 1,
        clock=_clock(root, info),
        memory=_memory(root),
        caches=_caches(root / "sys/devices/system/cpu/cpu0/cache"),
    )


def read_bandwidth(size: int, seconds: float = 0.02) -> float:
    """Bytes a second that are read and written by copies within ``size`` bytes: the best of many short measurements."""
    half = max(size // 2, 1024)
    source, target = np.ones(half, np.uint8), np.ones(half, np.uint8)
    tiny, small = np.ones(1, np.uint8), np.ones(1, np.uint8)
    call = min(_copy_seconds(tiny, small, 64) for _ in range(20))
    repeats = max(1, min(1000, 2**20 // half))
    best, ends = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < ends or best == float("inf"):
        best = min(best, _copy_seconds(source, target, repeats))
    return 2 * half / max(best - call, best / 10)


def _copy_seconds(source: NDArray[np.uint8], target: NDArray[np.uint8], repeats: int) -> float:
    start = time.thread_time()
    for _ in range(repeats):
        np.copyto(target, source)
    return max(time.thread_time() - start, 1e-9) / repeats


def _clock(root: Path, info: str) -> float | None:
    most = _text(root / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq").strip()
    if most.isdigit():
        return float(most) * 1e3
    now = _first(info, "cpu MHz")
    return float(now) * 1e6 if now else None


def _memory(root: Path) -> int | None:
    whole = _first(_text(root / "proc/meminfo"), "MemTotal").split()
    return int(whole[0]) * _KIB if whole else None


def _caches(folder: Path) -> tuple[int, ...]:
    sizes = set()
    for entry in sorted(folder.glob("index*")):
        size = _text(entry / "size").strip()
        if _text(entry / "type").strip() != "Instruction" and size.endswith("K") and size[:-1].isdigit():
            sizes.add(int(size[:-1]) * _KIB)
    return tuple(sorted(sizes))


def _first(text: str, key: str) -> str:
    return next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.split(":", 1)[0].strip() == key and ":" in line), "")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
