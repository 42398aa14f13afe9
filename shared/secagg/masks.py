"""Masks: an AES-256-CTR keystream read as little-endian ring words, so that every ring value is equally likely.

The keystream of a 32-byte seed covers the update's words first, then the 64-bit counters. It is expanded and added chunk
by chunk, small enough to stay in cache; no array of a whole keystream is ever made. The counter block starts at zero:
a seed is used for one vector only (fresh per round and per pair), so key and counter never repeat.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from numpy.typing import NDArray

from shared.secagg.messages import Words

SEED_BYTES = 32
CHUNK_BYTES = 1 << 17
"""Bytes expanded at a time: two such buffers fit a core's second-level cache."""

_ZEROS = bytes(CHUNK_BYTES)


def add_mask(update: Words, counters: NDArray[np.uint64], seed: bytes, *, sign: Literal[1, -1]) -> None:
    """Adds (``sign`` 1) or subtracts (−1) the mask of ``seed`` in place, modulo 2^width of each array's words.

    ``update``: (words,) of uint8, uint16 or uint32; ``counters``: (words,) of uint64; both contiguous and writable.
    """
    stream = _keystream(seed)
    for words in (update, counters):
        _add_stream(words, stream, sign)


def keystream_words(seed: bytes, count: int, dtype: np.dtype[Any]) -> Words:
    """The first ``count`` words of a seed's keystream as one array: the plain twin of :func:`add_mask`, for tests."""
    words: Words = np.frombuffer(_keystream(seed).update(bytes(count * dtype.itemsize)), dtype=dtype.newbyteorder("<"))
    return words


def _keystream(seed: bytes) -> CipherContext:
    if len(seed) != SEED_BYTES:
        raise ValueError(f"a mask's seed has {SEED_BYTES} bytes, not {len(seed)}")
    return Cipher(algorithms.AES(seed), modes.CTR(bytes(16))).encryptor()


def _add_stream(words: Words, stream: CipherContext, sign: Literal[1, -1]) -> None:
    step = CHUNK_BYTES // words.itemsize
    buffer = bytearray(CHUNK_BYTES + 16)
    chunk = np.frombuffer(buffer, dtype=words.dtype.newbyteorder("<"), count=step)
    for start in range(0, words.size, step):
        part = words[start : start + step]
        stream.update_into(memoryview(_ZEROS)[: part.nbytes], buffer)
        combine = np.add if sign == 1 else np.subtract
        combine(part, chunk[: part.size], out=part)
