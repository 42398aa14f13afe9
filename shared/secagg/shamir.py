"""Shamir's secret sharing over GF(2^8), byte by byte (Shamir 1979), for many 32-byte secrets at once.

Any ``threshold`` of the shares give the secrets; fewer are independent of them (each byte is shared with its own fresh
uniform polynomial). Holder ``i`` (0-based) holds the value at x = i + 1, so at most 255 holders. Multiplication goes
through logarithm tables over the AES polynomial x^8 + x^4 + x^3 + x + 1; table look-ups on secret bytes are not constant
in time, which matters only to an attacker on the institution's own processor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
MOST_HOLDERS = 255


def _tables() -> tuple[NDArray[np.int64], Bytes]:
    log, exp = np.zeros(256, np.int64), np.zeros(510, np.uint8)
    value = 1
    for power in range(255):
        exp[power] = exp[power + 255] = value
        log[value] = power
        doubled = (value << 1) ^ (0x11B if value & 0x80 else 0)
        value ^= doubled & 0xFF  # times the generator 3
    return log, exp


_LOG, _EXP = _tables()


def multiply(a: Bytes, b: Bytes) -> Bytes:
    """The product in GF(2^8), element by element with broadcasting."""
    product: Bytes = np.where((a == 0) | (b == 0), np.uint8(0), _EXP[_LOG[a] + _LOG[b]])
    return product


def share(secrets: Bytes, holders: int, threshold: int, random: Callable[[int], bytes]) -> Bytes:
    """Shares ``secrets (count, length)`` among ``holders``: ``(holders, count, length)``, any ``threshold`` of which suffice.

    Raises ``ValueError`` unless 1 ≤ threshold ≤ holders ≤ 255.
    """
    if not 1 <= threshold <= holders <= MOST_HOLDERS:
        raise ValueError(f"cannot share {threshold} of {holders}")
    drawn = np.frombuffer(random((threshold - 1) * secrets.size), np.uint8).reshape(threshold - 1, *secrets.shape)
    points = np.arange(1, holders + 1, dtype=np.uint8).reshape(-1, *(1,) * secrets.ndim)
    shares: Bytes = np.zeros((holders, *secrets.shape), np.uint8)
    # Horner's rule from the highest coefficient down to the secret itself.
    for coefficient in (*drawn, secrets):
        shares = multiply(shares, points) ^ coefficient
    return shares


def reconstruct(shares: Mapping[int, bytes]) -> bytes:
    """The secret from exactly the threshold's number of shares, by holder index (0-based)."""
    points = np.array([holder + 1 for holder in shares], np.uint8)
    values = np.stack([np.frombuffer(value, np.uint8) for value in shares.values()])
    weights = np.array([_weight(points, i) for i in range(len(points))], np.uint8)
    terms = multiply(values, weights[:, None])
    return bytes(np.bitwise_xor.reduce(terms, axis=0).tobytes())


def _weight(points: Bytes, i: int) -> int:
    # Lagrange at zero: Π x_j / (x_j − x_i); subtraction is exclusive or.
    others = np.delete(points, i)
    logarithm = int(_LOG[others].sum() - _LOG[others ^ points[i]].sum()) % 255
    return int(_EXP[logarithm])
