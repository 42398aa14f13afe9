"""The student's way down: an int8 delta between two models, exact on both sides, and its packed form.

    s = max |change| / 63 over a block of 1024 coordinates,  q = rint(change / s),  moved = vector + s · q in float32

The moved vector is not an approximation of the coordinator's student: it *is* the student, on both sides, bit for bit. What
rounding left over is less than half a step ``s`` a coordinate; the coordinator adds it to its next change, so that nothing
is lost over time (Tang et al. 2019, "DoubleSqueeze", algorithm 1, the server's half). Nothing is drawn at random.

Packed: magic, version, coordinates, SHA-256 of the content before and after, then one zstd frame of scales and words.
127 word values instead of 255 leave the entropy coder more than the scales cost, whatever the words are: at most 0.89
bytes a coordinate of a large model, about 0.8 where changes are roughly Gaussian, next to none where nothing moves.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

import numpy as np
import zstandard
from numpy.typing import NDArray

from shared.errors import NotFiniteError
from shared.secagg.errors import ForgedMessage, MissingBase

BLOCK = 1024
"""Coordinates that share one scale; the last block of a vector may have fewer."""
CHUNK = 1024 * BLOCK
"""Coordinates that are worked on at a time, so that what lies in between stays in the cache, and small beside a large vector."""
LEVELS = 63
"""The largest magnitude of a word."""
_FLOAT, _SCALE, _WORD = np.dtype("<f4"), np.dtype("<f4"), np.dtype("i1")
_TINY = np.finfo(np.float32).tiny
_HEADER = struct.Struct("<7sBQ32s32s")
_MAGIC, _VERSION = b"FSDELTA", 1


@dataclass(frozen=True)
class Delta:
    """``scales: float32 (⌈d / BLOCK⌉,)``, not negative, and ``words: int8 (d,)``."""

    scales: NDArray[np.float32]
    words: NDArray[np.int8]


def quantise(change: NDArray[np.float64]) -> Delta:
    """The delta nearest to ``change: float64 (d,)``: each coordinate is off by half of its block's scale at most.

    No scale is subnormal, so half a step is exact however small the change. Raises :class:`NotFiniteError`.
    """
    scales = np.empty(-(-change.size // BLOCK), np.float32)
    words = np.empty(change.size, np.int8)
    for start in range(0, change.size, CHUNK):
        part = change[start : start + CHUNK]
        first = start // BLOCK
        scales[first : first + CHUNK // BLOCK], words[start : start + CHUNK] = _quantised(part)
    return Delta(scales, words)


def _quantised(change: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    blocks = np.pad(change, (0, -change.size % BLOCK)).reshape(-1, BLOCK)
    largest = np.abs(blocks).max(axis=1)
    if not np.isfinite(largest).all():
        raise NotFiniteError("the optimiser's step holds a NaN or an infinity; lower optimizer.learning_rate")
    scales = np.where(largest > 0, np.maximum(largest / LEVELS, _TINY), 0.0).astype(np.float32)
    words = np.rint(blocks / np.where(scales > 0, scales, 1).astype(np.float64)[:, None])
    return scales, words.astype(np.int8).reshape(-1)[: change.size]


def moved(vector: NDArray[np.float32], delta: Delta) -> NDArray[np.float32]:
    """``vector + scale · word``, each operation rounded once in ``float32``: the same bits on every machine."""
    result = np.empty(vector.size, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, vector.size, CHUNK):
            words = delta.words[start : start + CHUNK].astype(np.float32)
            scales = np.repeat(delta.scales[start // BLOCK : (start + CHUNK) // BLOCK], BLOCK)[: words.size]
            result[start : start + CHUNK] = vector[start : start + CHUNK] + scales * words
    return result


def pack(delta: Delta, before: bytes, after: bytes) -> bytes:
    """The delta as it travels; ``before`` and ``after`` are the contents (a model's whole file) that it lies between."""
    body = delta.scales.astype(_SCALE, copy=False).tobytes() + delta.words.tobytes()
    # Matches shorter than 7 words would cost more than they save among words that look like noise.
    parameters = zstandard.ZstdCompressionParameters.from_level(1, strategy=zstandard.STRATEGY_FAST, min_match=7, write_content_size=True)
    frame = zstandard.ZstdCompressor(compression_params=parameters).compress(body)
    return _HEADER.pack(_MAGIC, _VERSION, delta.words.size, _digest(before), _digest(after)) + frame


def patched(content: bytes, packed: bytes) -> bytes:
    """The content that ``packed`` makes of ``content``, whose last ``4 d`` bytes are the vector, little-endian ``float32``.

    Nothing is allocated for a declared size that ``content`` does not bear out. Raises :class:`MissingBase` if the delta
    starts from another content, and :class:`ForgedMessage` for anything that :func:`pack` did not make or that was changed.
    """
    if len(packed) < _HEADER.size or not packed.startswith(_MAGIC):
        raise ForgedMessage("what came is neither the model that the plan names nor a delta to it; send it again")
    _, version, size, before, after = _HEADER.unpack_from(packed)
    if version != _VERSION:
        raise ForgedMessage(f"a delta of version {version} came and this release reads {_VERSION}; install the same release")
    if _digest(content) != before:
        raise MissingBase("the model that a delta starts from is not held here; send the whole model")
    start = len(content) - _FLOAT.itemsize * size
    if start < 0:
        raise ForgedMessage(f"a delta declares {size} coordinates, more than the model that it starts from has; send the whole model")
    vector = np.frombuffer(content, _FLOAT, offset=start).astype(np.float32, copy=False)
    result = content[:start] + moved(vector, _unpacked(packed[_HEADER.size :], size)).astype(_FLOAT, copy=False).tobytes()
    if _digest(result) != after:
        raise ForgedMessage("a delta does not give the model that it names; send the whole model")
    return result


def _unpacked(frame: bytes, size: int) -> Delta:
    blocks = -(-size // BLOCK)
    body = _inflated(frame, blocks * _SCALE.itemsize + size)
    return Delta(np.frombuffer(body, _SCALE, blocks).astype(np.float32), np.frombuffer(body, _WORD, offset=blocks * _SCALE.itemsize))


def _inflated(frame: bytes, expected: int) -> bytes:
    # The decompressor allocates what the frame declares, so the declared size is compared before it is believed.
    try:
        declared = zstandard.get_frame_parameters(frame).content_size
        body = zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False) if declared == expected else b""
    except zstandard.ZstdError as error:
        raise ForgedMessage("a delta is damaged; send the whole model") from error
    if len(body) != expected or declared != expected:
        raise ForgedMessage(f"a delta declares {declared} bytes where {expected} belong; send the whole model")
    return body


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
