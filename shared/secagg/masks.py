"""Masks: AES-256-CTR keystreams added to a vector in its ring.

A mask's keystream (key: the 32-byte seed; counter block: zero) is read as little-endian words: first one 64-bit word
for each counter word, then the update words of the ring's width. Keystream bytes are uniform, so every ring value is
equally likely. Keystreams are made and added piece by piece in a cache-sized buffer; a whole one never exists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from shared.secagg.messages import Words

CHUNK_BYTES = 1 << 17
"""Bytes of keystream made at a time; with the piece of the vector it is added to, it stays in the second-level cache."""
_BLOCK = 16


class Mask(NamedTuple):
    """One keystream: the seed (32 bytes) and whether it is added or taken away."""

    seed: bytes
    added: bool


def apply(update: Words, counters: NDArray[np.uint64], masks: Sequence[Mask], *, chunk_bytes: int = CHUNK_BYTES) -> None:
    """Adds every mask to ``counters (k,)`` and ``update (d,)`` in place, modulo 2^64 and 2^width.

    ``chunk_bytes``, a multiple of 8, changes the time it takes and nothing else. Both arrays must be contiguous.
    """
    streams = [(keystream(mask.seed), np.add if mask.added else np.subtract) for mask in masks]
    chunk = min(chunk_bytes, max(update.nbytes, counters.nbytes) // 8 * 8 + 8)
    zeros, buffer = memoryview(bytes(chunk)), memoryview(bytearray(chunk + _BLOCK))
    for vector in (counters, update):
        words = np.frombuffer(buffer, vector.dtype.newbyteorder("<"), count=chunk // vector.dtype.itemsize)
        for start in range(0, vector.size, words.size):
            piece = vector[start : start + words.size]
            for stream, combine in streams:
                stream(zeros[: piece.nbytes], buffer)
                combine(piece, words[: piece.size], out=piece)


def pair_mask(own: str, peer: str, seed: bytes) -> Mask:
    """The mask that ``own`` applies for its pair with ``peer``: added by the lower name, taken away by the higher."""
    return Mask(seed, added=own < peer)


def inverse(mask: Mask) -> Mask:
    """The mask that cancels ``mask``."""
    return Mask(mask.seed, not mask.added)


def keystream(seed: bytes) -> Callable[[memoryview, memoryview], int]:
    """A seed's keystream: called with zeros and a buffer 16 bytes longer, it writes as many of its next bytes there."""
    return Cipher(algorithms.AES(seed), modes.CTR(bytes(_BLOCK))).encryptor().update_into
