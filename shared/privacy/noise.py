"""Discrete Gaussian noise from secret bytes: what each institution adds to its words before they are masked.

A sample is drawn by inversion: a uniform number of 127 bits falls between two boundaries of the cumulative table of
magnitudes, and one more bit is the sign. Only the first 63 bits are compared for nearly all samples; the other 64 are
drawn where the first meet a boundary exactly. So the table costs two words an entry and a sample one search, and the
law is that of :func:`sampling_error`, not that of a double.

Noise is the secret that hides an institution's part: it comes from an AES-256-CTR keystream whose seed is fresh for
every call, is never sent, and never reused. Floating-point samplers leave gaps from which noise can be told (Mironov 2012).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from shared.errors import ConfigError
from shared.privacy.cumulative import BOUNDARY_BITS, boundaries, magnitudes

SMALLEST_SIGMA, LARGEST_SIGMA = 0.5, 2.0**17
"""Below, the accounting does not hold; above, the table outgrows its use: take coarser steps, which cost nothing there."""
SEED_BYTES = 32

_CHUNK = 1 << 16
_TABLES_KEPT = 4
_Drawer = Callable[[int], NDArray[np.uint64]]


class Table(NamedTuple):
    """Boundaries of magnitudes, rising: ``high`` has the first 63 bits of each, ``low`` the other 64; ``uint64 (k,)`` both."""

    high: NDArray[np.uint64]
    low: NDArray[np.uint64]

    def magnitudes(self, words: NDArray[np.uint64], draw: _Drawer) -> NDArray[np.int64]:
        """How many boundaries are at or below each 127-bit number: ``words (n,)`` of 63 bits, then 64 from ``draw`` if needed."""
        found: NDArray[np.int64] = np.searchsorted(self.high, words, side="right")
        met = np.flatnonzero((found > 0) & (self.high[found - 1] == words))
        for place, rest in zip(met, draw(len(met)), strict=True):
            first, end = np.searchsorted(self.high, words[place], side="left"), found[place]
            found[place] = first + np.searchsorted(self.low[first:end], rest, side="right")
        return found


def discrete_gaussian(sigma: float, count: int, random: Callable[[int], bytes]) -> NDArray[np.int64]:
    """``count`` independent samples of ``N_Z(0, sigma²)`` as ``int64 (count,)``, within ``14 sigma + 1`` of 0.

    The law of each is within total variation :func:`sampling_error` of the exact one, below 2^-105, if the keystream is
    uniform; symmetric exactly. ``random(32)`` gives the seed: the same seed, the same samples, on every machine. The first
    call for a ``sigma`` makes its table, about 1 s for the largest. Raises :class:`ConfigError` outside 1/2 to 2^17.
    """
    table = _table(_checked(sigma))
    draw = _keystream(random(SEED_BYTES))
    samples = np.empty(count, np.int64)
    for start in range(0, count, _CHUNK):
        piece = samples[start : start + _CHUNK]
        words = draw(piece.size)
        signs = 1 - 2 * (words & np.uint64(1)).astype(np.int64)
        np.multiply(table.magnitudes(words >> np.uint64(1), draw), signs, out=piece)
    return samples


def sampling_error(sigma: float) -> float:
    """A bound on the total variation distance between one sample's law and ``N_Z(0, sigma²)``.

    Two parts. The tail that the table leaves out, ``T = magnitudes(sigma)`` and beyond: ``(T + j)² ≥ T² + 2 T j`` makes it
    at most a geometric series over the weight of all integers, which is at least 1 and at least ``sigma √(2π)`` (Poisson
    summation). And the table itself: ``T - 1`` boundaries, each less than ``2 · 2^-127`` off, move no more than their sum.
    """
    size = magnitudes(_checked(sigma))
    tail = 2 * math.exp(-(size**2) / (2 * sigma**2)) / -math.expm1(-size / sigma**2) / max(1.0, sigma * math.sqrt(2 * math.pi))
    return tail + (size - 1) * 2.0 ** (1 - BOUNDARY_BITS)


@lru_cache(maxsize=_TABLES_KEPT)
def _table(sigma: float) -> Table:
    bounds = boundaries(sigma)
    return Table(np.array([one >> 64 for one in bounds], np.uint64), np.array([one & (1 << 64) - 1 for one in bounds], np.uint64))


def _checked(sigma: float) -> float:
    if not SMALLEST_SIGMA <= sigma <= LARGEST_SIGMA:
        raise ConfigError(
            f"noise of {sigma:g} steps cannot be drawn: choose steps so that it lies between {SMALLEST_SIGMA:g} and {LARGEST_SIGMA:g}"
        )
    return float(sigma)


def _keystream(seed: bytes) -> _Drawer:
    encryptor = Cipher(algorithms.AES(seed), modes.CTR(bytes(16))).encryptor()
    return lambda count: np.frombuffer(encryptor.update(bytes(8 * count)), "<u8").astype(np.uint64, copy=False)
