from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shared.knowledge.sampling import Neighbours, Subgraph, both_ways
from shared.knowledge.triples import Graph, graph_of

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.sampled_from("rs"), st.integers(0, 9)), min_size=1, max_size=60)


def graph(rows: list[tuple[int, str, int]]) -> Graph:
    return graph_of([(f"e{head}", relation, f"e{tail}", 1.0) for head, relation, tail in rows])


def edges_of(part: Subgraph) -> set[tuple[int, int, int]]:
    return {(int(a), int(kind), int(b)) for (a, b), kind in zip(part.nodes[part.edges].T, part.kinds, strict=True)}


@given(PAIRS, st.integers(0, 5))
def test_a_fanout_that_is_wide_enough_takes_the_whole_neighbourhood(rows: list[tuple[int, str, int]], seed: int) -> None:
    whole = graph(rows)
    part = Neighbours(whole).sample(np.array([0]), [1000, 1000], np.random.default_rng(seed))
    edges, kinds = both_ways(whole)
    into = set(edges[0][edges[1] == 0].tolist()) | {0}
    expected = {(int(a), int(kind), int(b)) for a, b, kind in zip(*edges, kinds, strict=True) if int(b) in into}
    assert edges_of(part) == expected


@given(PAIRS, st.integers(1, 3), st.integers(0, 5))
def test_a_sample_has_only_edges_of_the_graph_no_more_than_asked_and_its_seeds_first(
    rows: list[tuple[int, str, int]], fanout: int, seed: int
) -> None:
    whole = graph(rows)
    seeds = np.random.default_rng(seed).permutation(len(whole.entities))[:2]
    part = Neighbours(whole).sample(seeds, [fanout, fanout], np.random.default_rng(seed))
    edges, kinds = both_ways(whole)
    assert edges_of(part) <= {(int(a), int(kind), int(b)) for a, b, kind in zip(*edges, kinds, strict=True)}
    assert np.bincount(part.edges[1], minlength=1).max() <= fanout
    np.testing.assert_array_equal(part.nodes[: len(seeds)], seeds)
    assert len(set(part.nodes.tolist())) == len(part.nodes)
    again = Neighbours(whole).sample(seeds, [fanout, fanout], np.random.default_rng(seed))
    np.testing.assert_array_equal(part.edges, again.edges)
