"""Unbiased rounding of scaled coordinates to ring words, in pieces that stay in cache.

``word = rint(y + u)`` with ``u`` uniform over 2^16 values, symmetric in ``(−1/2, 1/2)``: whole numbers stay themselves, zeros
too, and the expectation of ``word`` is within ``2^−17`` of ``y``. The random bits are an AES-256-CTR keystream of a key that
the caller's generator gives, two bytes a coordinate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.secagg.masks import keystream
from shared.secagg.messages import Words

_PIECE = 1 << 15
"""Coordinates rounded at a time."""


def round_to_words(values: NDArray[np.float32], factor: float, level: int, dtype: type[np.unsignedinteger[Any]], key: bytes) -> Words:
    """Ring words ``(d,)`` of ``values (d,) * factor``, cut to ``±level``. ``level`` must fit into the signed type of ``dtype``."""
    words = np.empty(values.size, dtype)
    signed = words.view(np.dtype(f"i{words.itemsize}"))
    bits, zeros, buffer = keystream(key), memoryview(bytes(2 * _PIECE)), memoryview(bytearray(2 * _PIECE + 16))
    drawn = np.frombuffer(buffer, "<i2", count=_PIECE)
    # 24-bit significands: above 2^22 steps only float64 still tells neighbours apart.
    number = np.float32 if level < 1 << 22 else np.float64
    scaled, uniform = np.empty((2, _PIECE), number)
    for start in range(0, values.size, _PIECE):
        piece = values[start : start + _PIECE]
        size = piece.size
        bits(zeros[: 2 * size], buffer)
        noise, exact = uniform[:size], scaled[:size]
        np.copyto(noise, drawn[:size])
        noise *= number(2.0**-16)
        noise += number(2.0**-17)
        np.multiply(piece, number(factor), out=exact)
        exact += noise
        np.rint(exact, out=exact)
        # Clipped before it becomes a whole number: beyond the type's range that conversion is undefined.
        np.clip(exact, -level, level, out=exact)
        np.copyto(signed[start : start + size], exact, casting="unsafe")
    return words
