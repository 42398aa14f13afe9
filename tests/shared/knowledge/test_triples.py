from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import KnowledgeError
from shared.knowledge.triples import Graph, Row, graph_of, joined, shuffled

NAMES = st.sampled_from([f"e{number}" for number in range(8)])
ROWS = st.lists(st.tuples(NAMES, st.sampled_from(["r", "s"]), NAMES, st.sampled_from([0.5, 1.0, 2.0])), max_size=40)
FEVER: list[Row] = [
    ("flu", "shows", "fever", 1.0),
    ("flu", "shows", "cough", 2.0),
    ("cold", "shows", "cough", 1.0),
    ("cold", "kind", "flu", 1.0),
]


@given(ROWS, st.randoms(use_true_random=False))
def test_equal_rows_in_any_order_make_the_same_graph(rows: list[Row], random: object) -> None:
    dealt = list(rows)
    random.shuffle(dealt)  # type: ignore[attr-defined]
    assert graph_of(rows) == graph_of(dealt)
    assert graph_of(rows).digest() == graph_of([*rows, *rows]).digest()


@given(ROWS)
def test_a_graph_gives_back_the_rows_it_was_made_of_with_the_largest_weight(rows: list[Row]) -> None:
    largest = {row[:3]: max(other[3] for other in rows if other[:3] == row[:3]) for row in rows}
    assert {row[:3]: row[3] for row in graph_of(rows).rows()} == largest


@given(ROWS, ROWS)
def test_joining_is_the_graph_of_all_rows(first: list[Row], second: list[Row]) -> None:
    assert joined(graph_of(first), graph_of(second)) == graph_of([*first, *second])


@given(ROWS, st.integers(0, 99))
def test_shuffling_keeps_entities_and_the_count_of_each_relation_and_head_at_most(rows: list[Row], seed: int) -> None:
    graph = graph_of(rows)
    dealt = shuffled(graph, seed)
    assert dealt.entities == graph.entities
    assert len(dealt) <= len(graph)
    for column in (0, 1):
        counts = [np.bincount(one.triples[:, column], minlength=9) for one in (dealt, graph)]
        assert (counts[0] <= counts[1]).all()
    assert shuffled(graph, seed) == dealt


def test_a_weight_or_a_name_more_is_another_graph() -> None:
    plain = graph_of([("a", "r", "b", 1.0)])
    others = [graph_of([("a", "r", "b", 2.0)]), graph_of([("b", "r", "a", 1.0)]), graph_of([("a", "r", "b", 1.0)], entities=["c"])]
    assert len({plain.digest(), *(other.digest() for other in others)}) == 4


def test_a_neighbourhood_grows_by_hops() -> None:
    graph = graph_of([*FEVER, ("fever", "near", "heat", 1.0), ("x", "near", "y", 1.0)])
    assert graph.neighbourhood("heat").entities == ("fever", "heat")
    assert graph.neighbourhood("heat", hops=2).entities == ("fever", "flu", "heat")
    assert graph.neighbourhood("heat", hops=9).entities == ("cold", "cough", "fever", "flu", "heat")
    with pytest.raises(KnowledgeError, match="no entity 'feverr'; did you mean 'fever'"):
        graph.neighbourhood("feverr")


def test_degrees_count_heads_and_tails() -> None:
    graph = graph_of(FEVER)
    assert dict(zip(graph.entities, graph.degrees().tolist(), strict=True)) == {"flu": 3, "cold": 2, "cough": 2, "fever": 1}


def test_before_a_time_only_earlier_edges_hold() -> None:
    triples = np.array([[0, 0, 1], [1, 0, 0], [0, 0, 1]], dtype=np.int64)
    graph = Graph(("a", "b"), ("pays",), triples, np.ones(3, dtype=np.float32), np.array([5, 7, 9], dtype=np.int64))
    assert [len(graph.before(time)) for time in (5, 6, 8, 10)] == [0, 1, 2, 3]
    with pytest.raises(KnowledgeError, match="dates"):
        joined(graph, graph)


@pytest.mark.parametrize(
    ("entities", "triples", "weights", "sentence"),
    [
        (("a", "a"), [[0, 0, 1]], [1.0], "declared twice"),
        (("a", " "), [[0, 0, 1]], [1.0], "cannot be that of one entity"),
        (("a", "x" * 1001), [[0, 0, 1]], [1.0], "1001 characters"),
        (("a", "b"), [[0, 0, 2]], [1.0], "outside"),
        (("a", "b"), [[-1, 0, 1]], [1.0], "outside"),
        (("a", "b"), [[0, 0, 1]], [0.0], "above 0"),
        (("a", "b"), [[0, 0, 1]], [np.nan], "above 0"),
        (("a", "b"), [[0, 0, 1], [0, 0, 1]], [1.0, 1.0], "stands twice"),
        (("a", "b"), [[0, 0, 1]], [1.0, 1.0], "shape"),
    ],
)
def test_a_broken_law_is_refused(entities: tuple[str, ...], triples: list[list[int]], weights: list[float], sentence: str) -> None:
    with pytest.raises(KnowledgeError, match=sentence):
        Graph(entities, ("r",), np.array(triples, dtype=np.int64), np.array(weights, dtype=np.float32))


def test_arrays_cannot_be_written_and_an_unknown_relation_is_named() -> None:
    graph = graph_of(FEVER)
    with pytest.raises(ValueError, match="read-only"):
        graph.triples[0, 0] = 1
    assert graph.relations[graph.relation("shows")] == "shows"
    with pytest.raises(KnowledgeError, match="no relation 'cures'; it has kind, shows"):
        graph.relation("cures")


@given(ROWS, st.lists(st.integers(0, 3), min_size=40, max_size=40))
def test_the_first_of_each_triple_stands_once_at_its_earliest_time(rows: list[Row], times: list[int]) -> None:
    graph = graph_of(rows, times=times[: len(rows)])
    first = graph.firsts()
    earliest = {key: min(time for row, time in zip(rows, times, strict=False) if row[:3] == key) for key in {row[:3] for row in rows}}
    assert first.times is not None
    assert {row[:3]: time for row, time in zip(first.rows(), first.times.tolist(), strict=True)} == earliest
    assert len(first) == len(earliest)
    assert first.entities == graph.entities
    assert graph_of(rows).firsts() == graph_of(rows)


def test_an_entity_has_a_number_or_near_names() -> None:
    graph = graph_of(FEVER)
    assert graph.entities[graph.entity("flu")] == "flu"
    with pytest.raises(KnowledgeError, match="no entity 'flue'; did you mean 'flu'"):
        graph.entity("flue")
