"""What a piece of work takes: CPU seconds of all its threads, seconds, and memory at its highest."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Spent(NamedTuple):
    """``cpu`` and ``wall`` in seconds; ``peak`` in bytes above what was resident before, NaN where the system does not tell."""

    cpu: float
    wall: float
    peak: float = math.nan


class Stopwatch:
    """Times calls by the stage of a protocol that they belong to."""

    def __init__(self) -> None:
        self.stages: dict[str, list[Spent]] = {}

    def run(self, stage: str, work: Callable[[], T]) -> T:
        """What ``work`` returns; what it takes is added to ``stage``."""
        result, taken = spent(work)
        self.stages.setdefault(stage, []).append(taken)
        return result


def spent(work: Callable[[], T]) -> tuple[T, Spent]:
    """What ``work`` returns and what it takes. Nothing else may run in the process meanwhile."""
    resident = _forget_peak()
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = math.nan if math.isnan(resident) else max(0, _bytes("VmHWM") - resident)
    return result, Spent(cpu, wall, peak)


def highest() -> float:
    """The most bytes that were resident in this process since its program began; NaN where the system does not tell.

    Not ``ru_maxrss``: what a program inherits there, on Linux, is the peak of the one that started it.
    """
    return _bytes("VmHWM") if _STATUS.exists() else math.nan


def _forget_peak() -> float:
    # Linux forgets the highest resident size of a process that writes 5 here (proc(5)); what is resident now.
    try:
        _CLEAR.write_text("5")
    except OSError:
        return math.nan
    return _bytes("VmRSS")


def _bytes(field: str) -> int:
    lines = _STATUS.read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
