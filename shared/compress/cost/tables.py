"""Seconds between the sizes that were measured: linear in the logarithms of rows, work and seconds."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

from shared.compress.devices.schema import OperatorTable


def seconds(table: OperatorTable, rows: float, work: float) -> float:
    """What an operator of that size takes.

    Beyond the largest size measured, seconds grow in proportion; below the smallest they stay. So they never fall when either grows, as
    those of the table do not.
    """
    (low, high, part), beyond_rows = _place(table.rows, rows)
    near, beyond_work = _along(table, low, work)
    far, _ = _along(table, high, work)
    return math.exp((1 - part) * math.log(near) + part * math.log(far)) * beyond_rows * beyond_work


def _along(table: OperatorTable, row: int, work: float) -> tuple[float, float]:
    (low, high, part), beyond = _place(table.work, work)
    times = table.seconds[row]
    return math.exp((1 - part) * math.log(times[low]) + part * math.log(times[high])), beyond


def _place(axis: Sequence[float], at: float) -> tuple[tuple[int, int, float], float]:
    """Neighbours of ``at`` on the axis, how far it lies between them, and by what factor it lies beyond the end."""
    last = len(axis) - 1
    if at >= axis[last]:
        return (last, last, 0.0), at / axis[last]
    if at <= axis[0]:
        return (0, 0, 0.0), 1.0
    high = bisect.bisect_right(axis, at)
    low = high - 1
    return (low, high, math.log(at / axis[low]) / math.log(axis[high] / axis[low])), 1.0
