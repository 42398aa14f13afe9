"""GF(2^8) with the AES polynomial x^8 + x^4 + x^3 + x + 1: public scalars, and public matrices times secret bytes.

Secret bytes are only ever shifted and combined by exclusive or, never used as an index into a table, so the time
taken does not depend on them. Scalars and matrices are public (places of holders).
"""

from __future__ import annotations

import math
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


_POWERS, _LOGARITHMS = _tables()  # of 0 there is none; it is written as 0


def multiply(one: int, other: int) -> int:
    """The product of two public elements."""
    return _POWERS[_LOGARITHMS[one] + _LOGARITHMS[other]] if one and other else 0


def combine(matrix: Bytes, secrets: Bytes) -> Bytes:
    """The product of a public ``matrix (rows, n)`` and secret bytes ``(n, ...)``, as ``(rows, ...)``."""
    width = math.prod(secrets.shape[1:])
    planes = _doublings(secrets).reshape(_BITS * len(secrets), width)
    chosen = (matrix[:, None, :] >> np.arange(_BITS, dtype=np.uint8)[None, :, None]) & 1
    products = np.empty((len(matrix), width), np.uint8)
    for product, row in zip(products, chosen.reshape(len(matrix), -1), strict=True):
        np.bitwise_xor.reduce(planes.take(np.flatnonzero(row), axis=0), axis=0, out=product)
    return products.reshape(len(matrix), *secrets.shape[1:])


def powers(elements: Sequence[int], count: int) -> Bytes:
    """The public matrix ``(elements, count)`` of each element's powers from 0 to ``count - 1``; no element is 0."""
    logarithms = np.array(_LOGARITHMS)[np.array(elements)]
    table: Bytes = np.array(_POWERS, np.uint8)[logarithms[:, None] * np.arange(count) % 255]
    return table


def lagrange(places: Sequence[int], targets: Sequence[int]) -> Bytes:
    """The matrix ``(targets, places)`` that takes values at distinct ``places`` to the values at ``targets``.

    Shamir, *How to share a secret*, 1979: the polynomial of degree below ``len(places)`` through them, evaluated. All is
    public, so products go by logarithms.
    """
    antilogarithms, logarithms = np.array(_POWERS, np.uint8), np.array(_LOGARITHMS)
    at, to = np.array(places), np.array(targets)
    distances = to[:, None] ^ at[None, :]
    # Π (target − other) over the other places; a factor of 0 has no logarithm and is counted apart.
    logs, zeros = logarithms[distances], distances == 0
    above = logs.sum(axis=1, keepdims=True) - logs
    vanishes = zeros.sum(axis=1, keepdims=True) - zeros > 0
    below = logarithms[at[:, None] ^ at[None, :]].sum(axis=1)
    weights: Bytes = np.where(vanishes, np.uint8(0), antilogarithms[(above - below) % 255])
    return weights


def _doublings(secrets: Bytes) -> Bytes:
    # planes[b] = secrets · x^b
    planes = np.empty((_BITS, *secrets.shape), np.uint8)
    planes[0] = secrets
    for bit in range(1, _BITS):
        previous = planes[bit - 1]
        planes[bit] = (previous << 1) ^ ((previous >> 7) * np.uint8(_POLYNOMIAL & 0xFF))
    return planes
