"""GF(2^8) with the AES polynomial x^8 + x^4 + x^3 + x + 1: public scalars, and public matrices times secret bytes.

Secret bytes are only ever shifted and combined by exclusive or, never used as an index into a table, so the time
taken does not depend on them. Scalars and matrices are public (places of holders).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
_POLYNOMIAL = 0x11B
_BITS = 8


def _tables() -> tuple[tuple[int, ...], tuple[int, ...]]:
    # 3 generates the multiplicative group, which has order 255; powers are written twice so that exponents need no modulo.
    powers, logarithms = [1] * 510, [0] * 256
    for exponent in range(1, 510):
        double = powers[exponent - 1] << 1
        powers[exponent] = powers[exponent - 1] ^ double ^ (_POLYNOMIAL if double & 0x100 else 0)
    for exponent in range(255):
        logarithms[powers[exponent]] = exponent
    return tuple(powers), tuple(logarithms)


_POWERS, _LOGARITHMS = _tables()


def multiply(one: int, other: int) -> int:
    """The product of two public elements."""
    return _POWERS[_LOGARITHMS[one] + _LOGARITHMS[other]] if one and other else 0


def divide(one: int, other: int) -> int:
    """The quotient of two public elements; ``other`` is not 0."""
    if not other:
        raise ZeroDivisionError("division by 0 in GF(2^8)")
    return _POWERS[_LOGARITHMS[one] + 255 - _LOGARITHMS[other]] if one else 0


def combine(matrix: Bytes, secrets: Bytes) -> Bytes:
    """The product of a public ``matrix (rows, n)`` and secret bytes ``(n, ...)``, as ``(rows, ...)``."""
    planes = _doublings(secrets)
    chosen = (matrix[:, None, :] >> np.arange(_BITS, dtype=np.uint8)[None, :, None]) & 1
    rows = [np.bitwise_xor.reduce(planes[row.astype(bool)], axis=0) for row in chosen]
    return np.stack(rows).astype(np.uint8)


def lagrange(places: Sequence[int], targets: Sequence[int]) -> Bytes:
    """The matrix ``(targets, places)`` that takes values at distinct ``places`` to the values at ``targets``.

    Shamir, *How to share a secret*, 1979: the polynomial of degree below ``len(places)`` through them, evaluated.
    """
    return np.array([[_weight(places, place, target) for place in places] for target in targets], np.uint8)


def _weight(places: Sequence[int], place: int, target: int) -> int:
    above, below = 1, 1
    for other in places:
        if other != place:
            above = multiply(above, target ^ other)
            below = multiply(below, place ^ other)
    return divide(above, below)


def _doublings(secrets: Bytes) -> Bytes:
    # planes[b] = secrets · x^b
    planes = np.empty((_BITS, *secrets.shape), np.uint8)
    planes[0] = secrets
    for bit in range(1, _BITS):
        previous = planes[bit - 1]
        planes[bit] = (previous << 1) ^ ((previous >> 7) * np.uint8(_POLYNOMIAL & 0xFF))
    return planes
