"""A random rotation that spreads an update evenly over its coordinates before it is rounded to few steps.

Randomised Hadamard transform (Suresh et al., *Distributed mean estimation with limited communication*, 2017, section 3):
random signs, then the orthonormal Walsh-Hadamard transform. After it every coordinate of a vector of norm ``C`` is about
``C / √d``, whatever the layers were, so that a small ring loses little. Rotations are linear: the sum of rotated vectors is
the rotated sum, and the coordinator turns it back once.

The vector is cut into as many blocks as there are whole ``2^13`` in it. Block ``j`` holds every ``n``-th coordinate from
``j`` on, so each block sees every layer, and neighbouring blocks are transformed side by side in cache. Where coordinates
remain at the end, the last ``2^17`` (or as many as there are) are one more block, transformed before and after the
others, so that a last layer is spread as well. Nothing is padded: each step is orthonormal, so their composition is.

Signs are public: they come from the round's model, the same for all. Sums and differences of two numbers are rounded the same
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
_SLAB = 1 << 18
"""Coordinates transformed at a time: two buffers of as many stay in the second or third-level cache."""
_FEW_LANES = 64
_SIGNED_AT_ONCE = 1 << 15

Vector = NDArray[Any]
"""``float32`` or ``float64``."""


def rotation_seed(plan: Plan, cell: int) -> bytes:
    """The seed (32 bytes) of the signs of one cell: of the round's model, so another every round; no secret.

    Not of the run's or the round's name: a round that is trained anew, or a run of another name, gives the same student.
    """
    return digest("rotation", plan.blob_digest, cell)


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
    # Of 2^(h + l) coordinates: one transform over groups of 2^l, then one within each. So every butterfly runs over many
    # neighbours in memory, and a slab is few long rows. Where groups have few neighbours side by side they are turned first.
    length, count = block.shape
    members = 1 << (length.bit_length() - 1) // 2
    groups = length // members
    buffers = np.empty((2, min(block.size, _SLAB)), block.dtype)
    one, scale = block.dtype.type(1), block.dtype.type(length**-0.5)
    cube = block.reshape(groups, members, count)
    _sweep(block.reshape(1, groups, members * count), buffers, one)
    if count < _FEW_LANES:
        turned = np.ascontiguousarray(cube.swapaxes(0, 1))
        _sweep(turned.reshape(1, members, groups * count), buffers, scale)
        cube[:] = turned.swapaxes(0, 1)
    else:
        _sweep(cube, buffers, scale)


def _sweep(cube: Vector, buffers: Vector, scale: np.floating[Any]) -> None:
    # Transforms ``cube (parts, length, lanes)`` along its middle and scales it, a slab that stays in cache at a time.
    parts, length, lanes = cube.shape
    width = min(lanes, max(1, _SLAB // length))
    together = max(1, _SLAB // (length * width))
    for part in range(0, parts, together):
        for start in range(0, lanes, width):
            _slab(cube[part : part + together, :, start : start + width], buffers, scale)


def _slab(cube: Vector, buffers: Vector, scale: np.floating[Any]) -> None:
    # (a, b) -> (a + b, a - b) level by level: out of the vector, from one buffer to the other and back, and into the vector.
    parts, length, lanes = cube.shape
    if length == 1:
        np.multiply(cube, scale, out=cube)
        return
    source, target = (buffer[: cube.size] for buffer in buffers)
    halves = cube.reshape(parts, 2, length // 2, lanes)
    _butterfly(halves, source.reshape(halves.shape))
    run = length // 4 * lanes
    while run:
        _butterfly(source.reshape(-1, 2, run), target.reshape(-1, 2, run))
        source, target, run = target, source, run // (2 * lanes) * lanes
    np.multiply(source.reshape(cube.shape), scale, out=cube)


def _butterfly(values: Vector, made: Vector) -> None:
    np.add(values[:, 0], values[:, 1], out=made[:, 0])
    np.subtract(values[:, 0], values[:, 1], out=made[:, 1])
