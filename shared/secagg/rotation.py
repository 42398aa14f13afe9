"""A random rotation that spreads an update evenly over its coordinates before it is rounded to few steps.

Randomised Hadamard transform (Suresh et al., *Distributed mean estimation with limited communication*, 2017, section 3):
random signs, then the orthonormal Walsh-Hadamard transform. After it every coordinate of a vector of norm ``C`` is about
``C / √d``, whatever the layers were, so that a small ring loses little. Rotations are linear: the sum of rotated vectors is
the rotated sum, and the coordinator turns it back once.

The vector is cut into as many blocks as there are whole ``2^13`` in it. Block ``j`` holds every ``n``-th coordinate from
``j`` on, so each block sees every layer, and neighbouring blocks are transformed side by side in cache. Where coordinates
remain at the end, the last ``2^17`` (or as many as there are) are one more block, transformed before and after the
others, so that a last layer is spread as well. Nothing is padded: each step is orthonormal, so their composition is.

Signs are public: they come from the round, the same for all. Sums and differences of two numbers are rounded the same
everywhere, so the words that an institution sends do not depend on its processor or its threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.secagg.masks import keystream
from shared.secagg.messages import Plan
from shared.secagg.signing import digest

LARGEST_BLOCK = 13
"""Binary logarithm of the coordinates of a block."""
LARGEST_TAIL = 17
"""The same of the block at the end."""
_LANES = 64
_SIGNED_AT_ONCE = 1 << 15

Vector = NDArray[Any]
"""``float32`` or ``float64``."""


def rotation_seed(plan: Plan, cell: int) -> bytes:
    """The seed (32 bytes) of the signs of one cell: of the run and the round, nobody's choice and no secret."""
    return digest("rotation", plan.run, plan.epoch, plan.round, cell)


def rotate(vector: Vector, seed: bytes) -> None:
    """Rotates ``vector (d,)`` in place; norms and inner products stay."""
    for number, block in enumerate(_blocks(vector)):
        _flip(block, digest("signs", seed, number))
        _transform(block)


def rotate_back(vector: Vector, seed: bytes) -> None:
    """Undoes :func:`rotate` in place."""
    for number, block in reversed([*enumerate(_blocks(vector))]):
        _transform(block)
        _flip(block, digest("signs", seed, number))


def _blocks(vector: Vector) -> list[Vector]:
    # (coordinates of a block, blocks) views: all whole blocks, between two turns of the tail if some coordinates are left over.
    if vector.size < 2:
        return []
    largest = vector.size.bit_length() - 1
    length = 1 << min(LARGEST_BLOCK, largest)
    whole = vector.size // length * length
    tail = vector[-(1 << min(LARGEST_TAIL, largest)) :].reshape(-1, 1)
    blocks = vector[:whole].reshape(length, -1)
    return [blocks] if whole == vector.size else [tail, blocks, tail]


def _flip(block: Vector, seed: bytes) -> None:
    # One bit of keystream a coordinate, moved to where the sign is.
    flat, word = block.reshape(-1), np.dtype(f"u{block.dtype.itemsize}")
    bits = keystream(seed)
    buffer = memoryview(bytearray(_SIGNED_AT_ONCE // 8 + 16))
    for start in range(0, flat.size, _SIGNED_AT_ONCE):
        piece = flat[start : start + _SIGNED_AT_ONCE]
        packed = (piece.size + 7) // 8
        bits(memoryview(bytes(packed)), buffer)
        mask = np.unpackbits(np.frombuffer(buffer, np.uint8, packed), count=piece.size).astype(word)
        mask <<= word.type(8 * word.itemsize - 1)
        np.bitwise_xor(piece.view(word), mask, out=piece.view(word))


def _transform(block: Vector) -> None:
    # A slab of neighbouring blocks at a time: every butterfly runs over neighbours in memory, and the slab stays in cache.
    length, count = block.shape
    lanes = min(_LANES, count)
    first, second = np.empty((2, length * lanes), block.dtype)
    scale = block.dtype.type(length**-0.5)
    for start in range(0, count, lanes):
        columns = block[:, start : start + lanes]
        slab, other = first[: columns.size], second[: columns.size]
        np.copyto(slab.reshape(columns.shape), columns)
        np.multiply(_butterflies(slab, other, length).reshape(columns.shape), scale, out=columns)


def _butterflies(source: Vector, target: Vector, length: int) -> Vector:
    # (a, b) -> (a + b, a - b) level by level, from one buffer to the other and back.
    lanes, pairs = source.size // length, length // 2
    while pairs:
        shape = (pairs, 2, lanes)
        values, made = source.reshape(shape), target.reshape(shape)
        np.add(values[:, 0], values[:, 1], out=made[:, 0])
        np.subtract(values[:, 0], values[:, 1], out=made[:, 1])
        source, target, pairs, lanes = target, source, pairs // 2, lanes * 2
    return source
