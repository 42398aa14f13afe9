"""What travels before a model and stays: bytes as words of a round's blob, in front of the vector that changes from round to round.

The format (safetensors) puts wider types first, so the vector of float32 is the file's end: a delta (``shared/deltas.py``) moves it,
and what lies before it as uint64 does not travel again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from shared.errors import ProtocolError

WORD = 8
"""Bytes of a word."""
GRAPH, MAPPING = "graph", "mapping"
"""The names under which a public knowledge graph (``shared/knowledge/packed.py``), and how records name its entities
(``shared/knowledge/linking.py``, its canonical JSON), lie before a vector."""


def words_of(content: bytes) -> NDArray[np.uint64]:
    """``content`` filled up with zeros to whole words ``(words,)``."""
    return np.frombuffer(content + bytes(-len(content) % WORD), np.dtype("<u8"))


def sized_words(content: bytes) -> NDArray[np.uint64]:
    """As :func:`words_of`, behind a word that says how many bytes they are: of what nobody else knows the length."""
    return words_of(len(content).to_bytes(WORD, "little") + content)


def sized_content(words: NDArray[Any] | None, what: str) -> bytes:
    """What :func:`sized_words` was given. Raises :class:`ProtocolError` that names ``what`` for words that it never makes."""
    if words is not None and words.dtype == np.uint64 and words.ndim == 1 and len(words):
        size, content = int(words[0]), words[1:].tobytes()
        if len(words) - 1 == -(-size // WORD) and not any(content[size:]):
            return content[:size]
    raise ProtocolError(f"{what} that the plan names did not come whole; ask the coordinator to send it again")


def bound_content(tensors: Mapping[str, NDArray[Any]], name: str, digest: str, what: str) -> bytes:
    """What a blob has attached as ``name``, if it has the SHA-256 ``digest`` (hex) that the signed plan names; else :class:`ProtocolError`
    that names ``what``.
    """
    content = sized_content(tensors.get(name), what)
    if hashlib.sha256(content).hexdigest() != digest:
        raise ProtocolError(f"{what} that came is not the one that the plan names by its SHA-256; ask for it again")
    return content


def blob_of(vector: NDArray[np.float32], attached: Mapping[str, NDArray[np.uint64]]) -> bytes:
    """A round's blob: safetensors ``{"vector": float32 (d,)}`` behind what is ``attached`` by name."""
    return save({**attached, "vector": vector})
