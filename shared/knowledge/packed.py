"""A graph as bytes: how a public one goes from the coordinator to every institution, bound by its SHA-256 in the signed plan.

A Zstandard frame of: the length of a JSON header, the header (names of entities and relations, how many triples), triples as
little-endian uint32 ``(n, 3)``, weights as float32 ``(n,)``. Equal graphs from :func:`shared.knowledge.triples.graph_of` give equal bytes.
"""

from __future__ import annotations

import json

import numpy as np
import zstandard
from pydantic import Field, ValidationError

from shared.errors import KnowledgeError
from shared.frozen import Frozen
from shared.knowledge.triples import MAX_TRIPLES, Graph

LARGEST = 256 << 20
"""No packed graph is unpacked beyond this many bytes."""
LEVEL = 9
_SMALL, _MOST_RATIO = 1 << 20, 100
_LENGTH = 8
_TRIPLE, _WEIGHT = np.dtype("<u4"), np.dtype("<f4")


class _Header(Frozen):
    entities: tuple[str, ...]
    relations: tuple[str, ...]
    triples: int = Field(ge=0, le=MAX_TRIPLES)


def pack_graph(graph: Graph) -> bytes:
    """``graph`` as bytes. Raises :class:`KnowledgeError` for one with dates, which are an institution's own and do not travel."""
    if graph.times is not None:
        raise KnowledgeError("a graph with dates does not travel; take what held before one date")
    header = _Header(entities=graph.entities, relations=graph.relations, triples=len(graph)).model_dump_json().encode()
    arrays = graph.triples.astype(_TRIPLE).tobytes() + graph.weights.astype(_WEIGHT).tobytes()
    return zstandard.ZstdCompressor(level=LEVEL).compress(len(header).to_bytes(_LENGTH, "little") + header + arrays)


def unpack_graph(content: bytes) -> Graph:
    """The graph that :func:`pack_graph` was given. Raises :class:`KnowledgeError` for other bytes, and for more than :data:`LARGEST`."""
    raw = _unpacked(content)
    size = int.from_bytes(raw[:_LENGTH], "little")
    try:
        header = _Header.model_validate(json.loads(raw[_LENGTH : _LENGTH + size]))
    except (ValidationError, ValueError, RecursionError) as error:
        raise KnowledgeError("the graph that came has no header of this release; install the same release on both sides") from error
    start, middle = _LENGTH + size, _LENGTH + size + 12 * header.triples
    if len(raw) != middle + 4 * header.triples:
        raise KnowledgeError(f"the graph that came is not of the {header.triples} triples that its header names; ask for it again")
    triples = np.frombuffer(raw[start:middle], _TRIPLE).astype(np.int64).reshape(-1, 3)
    return Graph(header.entities, header.relations, triples, np.frombuffer(raw[middle:], _WEIGHT).astype(np.float32))


def _unpacked(content: bytes) -> bytes:
    try:
        # What few bytes claim to become is bounded before any of it is unpacked.
        if not 0 <= zstandard.frame_content_size(content) <= min(LARGEST, _SMALL + _MOST_RATIO * len(content)):
            raise KnowledgeError("the graph that came does not say how large it is, or claims too much; leave relations out of it")
        return zstandard.ZstdDecompressor().decompress(content, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise KnowledgeError("the graph that came is damaged; ask for it again") from error
