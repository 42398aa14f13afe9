"""The cumulative distribution of a discrete Gaussian's magnitude, in whole numbers alone.

``N_Z(0, σ²)`` has ``P(x) ∝ exp(−x² / 2σ²)`` over all integers (Canonne, Kamath, Steinke 2020, definition 1). Each weight
follows from the one before it by two products: ``p ← p · r`` and ``r ← r · q``, where ``r`` starts as ``exp(−1 / 2σ²)``
and ``q = exp(−1 / σ²)``. All is fixed-point arithmetic on Python's integers: no mathematical library and no rounding
mode has a say, so every machine has the same table.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import accumulate

BOUNDARY_BITS = 127
"""Bits of a boundary: 63 that nearly always decide, and 64 more for the rest."""
TAIL = 14
"""Magnitudes beyond ``TAIL`` deviations are left out; together they have less than 2^-139."""
_WORK_BITS = 200
_ONE = 1 << _WORK_BITS


def magnitudes(sigma: float) -> int:
    """How many magnitudes are kept: 0 up to ``magnitudes(sigma) - 1``."""
    return math.ceil(TAIL * sigma) + 1


def boundaries(sigma: float) -> list[int]:
    """``P(|X| ≤ m)`` in units of 2^-127 for ``m = 0 .. magnitudes(sigma) - 2``, cut at the tail and scaled to end at 1.

    For deviations of 1/2 to 2^17 each is less than 2 units below the exact value. With ``u = 2^-200`` the exponentials
    are off by less than ``2^9 u``, hence weight ``m`` by less than ``2^9 (m + 1)² u``, hence a sum of ``T ≤ 18 σ`` weights,
    itself at least ``σ``, by less than ``2^22 σ² u ≤ 2^-144`` of the whole. Rounding down costs up to 1 unit.
    """
    sums = list(accumulate(_weights(sigma)))
    return [(one << BOUNDARY_BITS) // sums[-1] for one in sums[:-1]]


def _weights(sigma: float) -> Iterator[int]:
    # Half of the weight of 0, then the weights of 1, 2, ...: each of those stands for a value and its opposite.
    numerator, denominator = float(sigma).as_integer_ratio()
    ratio = exponential((denominator * denominator << _WORK_BITS) // (2 * numerator * numerator))
    shrink, weight = ratio * ratio >> _WORK_BITS, _ONE
    yield _ONE >> 1
    for _ in range(magnitudes(sigma) - 1):
        weight = weight * ratio >> _WORK_BITS
        ratio = ratio * shrink >> _WORK_BITS
        yield weight


def exponential(fraction: int) -> int:
    """``exp(-y)`` for ``y = fraction / 2^200`` between 0 and 2, in units of 2^-200, less than 2^8 units off: Taylor's series."""
    term = total = _ONE
    place = 0
    while term:
        place += 1
        term = term * fraction // (place << _WORK_BITS)
        total += term if place % 2 == 0 else -term
    return total
