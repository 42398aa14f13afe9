"""Masks: AES-256-CTR keystreams added to a vector in its ring.

A mask's keystream (key: the 32-byte seed; counter block: zero) is read as little-endian words: first one 64-bit word
for each counter word, then the update words of the ring's width. Keystream bytes are uniform, so every ring value is
equally likely. Keystreams are made and added piece by piece in a cache-sized buffer; a whole one never exists.

A keystream can be entered anywhere: block ``i`` of it is the encryption of the number ``i`` (NIST SP 800-38A, section 6.5). So the
vector is cut into ranges, one a thread; OpenSSL and numpy let go of the interpreter's lock while they work on a piece.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from shared.secagg.messages import Words

CHUNK_BYTES = 1 << 18
"""Bytes of keystream made at a time: with the zeros it is made from and the piece it is added to, they stay in the second-level cache."""
MOST_THREADS = 8
"""Most threads taken unasked."""
BYTES_PER_THREAD = 1 << 24
"""Least keystream worth a thread: two milliseconds of work, where starting a thread takes a fraction of one."""
_BLOCK = 16


class Mask(NamedTuple):
    """One keystream: the seed (32 bytes) and whether it is added or taken away."""

    seed: bytes
    added: bool


def apply(
    update: Words,
    counters: NDArray[np.uint64],
    masks: Sequence[Mask],
    *,
    chunk_bytes: int = CHUNK_BYTES,
    threads: int | None = None,
) -> None:
    """Adds every mask to ``counters (k,)`` and ``update (d,)`` in place, modulo 2^64 and 2^width.

    ``chunk_bytes``, a multiple of 8, and ``threads`` change the time it takes and nothing else; without ``threads`` it is what
    the machine has, and 1 for small vectors. Both arrays must be contiguous.
    """
    workers = _workers(update, masks) if threads is None else threads
    edges = [update.size * worker // workers for worker in range(workers + 1)]
    (first, _), *others = ((update[start:end], counters.nbytes + start * update.itemsize) for start, end in itertools.pairwise(edges))
    if not others:
        _add((counters, first), 0, masks, chunk_bytes)
        return
    with ThreadPoolExecutor(len(others)) as pool:
        running = [pool.submit(_add, (part,), offset, masks, chunk_bytes) for part, offset in others]
        _add((counters, first), 0, masks, chunk_bytes)
    for job in running:
        job.result()


def pair_mask(own: str, peer: str, seed: bytes) -> Mask:
    """The mask that ``own`` applies for its pair with ``peer``: added by the lower name, taken away by the higher."""
    return Mask(seed, added=own < peer)


def inverse(mask: Mask) -> Mask:
    """The mask that cancels ``mask``."""
    return Mask(mask.seed, not mask.added)


def keystream(seed: bytes, offset: int = 0) -> Callable[[memoryview, memoryview], int]:
    """A seed's keystream from byte ``offset`` on: called with zeros and a buffer 16 bytes longer, it writes as many of its next bytes."""
    block, within = divmod(offset, _BLOCK)
    read = Cipher(algorithms.AES(seed), modes.CTR(block.to_bytes(_BLOCK, "big"))).encryptor().update_into
    read(memoryview(bytes(within)), memoryview(bytearray(within + _BLOCK)))
    return read


def _workers(update: Words, masks: Sequence[Mask]) -> int:
    return max(1, min(os.cpu_count() or 1, MOST_THREADS, update.nbytes * len(masks) // BYTES_PER_THREAD))


def _add(vectors: Sequence[Words], offset: int, masks: Sequence[Mask], chunk_bytes: int) -> None:
    # The keystreams from byte ``offset`` on, read through the vectors one after the other.
    streams = [(keystream(mask.seed, offset), np.add if mask.added else np.subtract) for mask in masks]
    chunk = min(chunk_bytes, max(vector.nbytes for vector in vectors) // 8 * 8 + 8)
    zeros, buffer = memoryview(bytes(chunk)), memoryview(bytearray(chunk + _BLOCK))
    for vector in vectors:
        words = np.frombuffer(buffer, vector.dtype.newbyteorder("<"), count=chunk // vector.dtype.itemsize)
        for start in range(0, vector.size, words.size):
            piece = vector[start : start + words.size]
            source, added = zeros[: piece.nbytes], words[: piece.size]
            for stream, combine in streams:
                stream(source, buffer)
                combine(piece, added, out=piece)
