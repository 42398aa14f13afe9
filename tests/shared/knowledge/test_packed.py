from __future__ import annotations

import json

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import KnowledgeError
from shared.knowledge.packed import pack_graph, unpack_graph
from shared.knowledge.triples import Graph, graph_of

NAMES = st.text(min_size=1, max_size=6).filter(lambda name: name.strip() == name)
ROWS = st.lists(st.tuples(NAMES, NAMES, NAMES, st.floats(0.25, 9.0, width=32)), max_size=12)


@given(ROWS, st.lists(NAMES, max_size=3))
def test_a_graph_comes_back_and_equal_rows_give_equal_bytes(rows: list[tuple[str, str, str, float]], alone: list[str]) -> None:
    graph = graph_of(rows, entities=alone)
    packed = pack_graph(graph)
    assert unpack_graph(packed) == graph
    assert pack_graph(graph_of(rows[::-1], entities=alone[::-1])) == packed


def test_a_graph_with_dates_stays_where_it_is() -> None:
    dated = Graph(("a", "b"), ("r",), np.array([[0, 0, 1]]), np.ones(1, np.float32), np.zeros(1, np.int64))
    with pytest.raises(KnowledgeError, match="with dates does not travel"):
        pack_graph(dated)


def raw(header: bytes, rest: bytes = b"") -> bytes:
    return zstandard.ZstdCompressor().compress(len(header).to_bytes(8, "little") + header + rest)


HEADER = json.dumps({"entities": ["a", "b"], "relations": ["r"], "triples": 1}).encode()
TRIPLE = np.array([0, 0, 1], "<u4").tobytes()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "damaged|does not say"),
        (b"no frame at all", "damaged"),
        (pack_graph(graph_of([("a", "r", "b", 1.0)]))[:-1], "damaged"),
        (pack_graph(graph_of([("a", "r", "b", 1.0)])) + b"x", "damaged"),
        (raw(b"{"), "no header of this release"),
        (raw(b"[" * 100_000), "no header of this release"),
        (raw(HEADER, TRIPLE), "is not of the 1 triples"),
        (raw(HEADER, TRIPLE + np.float32(1).tobytes() + b"x"), "is not of the 1 triples"),
        (raw(HEADER, np.array([0, 0, 7], "<u4").tobytes() + np.float32(1).tobytes()), "points outside"),
        (raw(HEADER, TRIPLE + np.float32(np.nan).tobytes()), "weights must be"),
        (raw(HEADER.replace(b'"b"', b'"a"'), TRIPLE + np.float32(1).tobytes()), "declared twice"),
    ],
)
def test_what_nobody_packed_is_refused(content: bytes, what: str) -> None:
    with pytest.raises(KnowledgeError, match=what):
        unpack_graph(content)
