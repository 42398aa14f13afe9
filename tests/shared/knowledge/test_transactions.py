from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import KnowledgeError, MissingColumnError
from shared.knowledge.transactions import TransactionColumns, causal, dealt_anew, transaction_graph

COLUMNS = TransactionColumns(source="from", target="to", location="place", kind="type", time="day", window=10)
TABLE = {
    "from": ["a", "a", "b", "a", "", "c"],
    "to": ["b", "b", "c", "b", "b", "a"],
    "place": ["X", "X", "", "Y", "X", "X"],
    "type": ["t1", "t1", "t2", "t1", "t1", "t2"],
    "day": ["1", "3", "4", "12", "5", ""],
}
CELLS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("abc"), st.sampled_from(["", "X"]), st.sampled_from("tu"), st.integers(0, 60)),
    min_size=1,
)


def named(table: dict[str, list[str]]) -> set[tuple[str, str, str, float]]:
    return set(transaction_graph(COLUMNS, table).graph.rows())


def table_of(rows: list[tuple[str, str, str, str, int]]) -> dict[str, list[str]]:
    columns = zip(*rows, strict=True)
    return {name: [str(cell) for cell in column] for name, column in zip(TABLE, columns, strict=True)}


def test_edges_join_source_target_location_and_kind_and_count_within_a_window() -> None:
    found = transaction_graph(COLUMNS, TABLE)
    assert found.skipped == 2
    assert ("account:a", "pays", "account:b", 2.0) in named(TABLE)
    assert ("account:a", "pays", "account:b", 1.0) in named(TABLE)
    assert ("account:a", "in", "location:Y", 1.0) in named(TABLE)
    assert ("account:b", "offers", "kind:t1", 2.0) in named(TABLE)
    assert not any(head == "account:b" and relation == "in" for head, relation, _, _ in named(TABLE))
    assert [found.graph.entities[number] for number in found.entities[0]] == ["account:a", "account:b", "location:X", "kind:t1"]
    assert found.entities[2, 2] == -1
    assert (found.entities[4] == -1).all()


@given(CELLS, CELLS, st.integers(0, 70))
def test_what_was_known_at_a_time_does_not_change_with_later_transactions(
    rows: list[tuple[str, str, str, str, int]], later: list[tuple[str, str, str, str, int]], time: int
) -> None:
    past = [row for row in rows if row[4] < time] or [("a", "b", "", "t", 0)]
    future = [(*row[:4], row[4] + max(time, 1)) for row in later]
    before, after = (transaction_graph(COLUMNS, table_of(part)).graph for part in (past, past + future))
    assert set(causal(before, time, COLUMNS.window).rows()) == set(causal(after, time, COLUMNS.window).rows())


@given(CELLS)
def test_an_edge_exists_only_after_it_happened(rows: list[tuple[str, str, str, str, int]]) -> None:
    graph = transaction_graph(COLUMNS, table_of(rows)).graph
    first = min(row[4] for row in rows)
    assert len(graph.before(first)) == 0
    assert len(graph.before(first + 1)) > 0
    pays = graph.relation("pays")
    assert graph.weights[graph.triples[:, 1] == pays].sum() == len(rows)


def test_tables_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(MissingColumnError, match="no column 'place'"):
        transaction_graph(COLUMNS, {name: cells for name, cells in TABLE.items() if name != "place"})
    with pytest.raises(KnowledgeError, match="no whole number"):
        transaction_graph(COLUMNS, {**TABLE, "day": ["1", "x", "1", "1", "1", "1"]})
    with pytest.raises(KnowledgeError, match="no whole number"):
        transaction_graph(COLUMNS, {**TABLE, "day": ["9" * 30] * 6})
    with pytest.raises(KnowledgeError, match="no row has 'from'"):
        transaction_graph(COLUMNS, {**TABLE, "from": [""] * 6})
    with pytest.raises(KnowledgeError, match="'to' has 5 rows and 'day' 6"):
        transaction_graph(COLUMNS, {**TABLE, "to": TABLE["to"][:5]})


def test_location_and_kind_may_be_left_out() -> None:
    plain = TransactionColumns(source="from", target="to", time="day", window=100)
    found = transaction_graph(plain, TABLE)
    assert found.graph.relations == ("pays",)
    np.testing.assert_array_equal(found.graph.weights, [3.0, 1.0])


@given(CELLS, st.integers(1, 30), st.integers(0, 99))
def test_a_deal_keeps_how_often_each_entity_is_seen_in_each_span(rows: list[tuple[str, str, str, str, int]], span: int, seed: int) -> None:
    found = transaction_graph(COLUMNS, table_of(rows))
    dealt = dealt_anew(found.entities, found.times, span, seed)
    for number in np.unique(found.times // span):
        part = found.times // span == number
        np.testing.assert_array_equal(np.sort(dealt[part], axis=0), np.sort(found.entities[part], axis=0))


def test_a_deal_parts_who_dealt_with_whom() -> None:
    found = transaction_graph(COLUMNS, table_of([("a" if day % 2 else "b", "a" if day % 2 else "b", "X", "t", day) for day in range(60)]))
    dealt = dealt_anew(found.entities, found.times, 60, 1)
    assert (found.entities[:, 0] == found.entities[:, 1]).all()
    assert 0.2 < (dealt[:, 0] == dealt[:, 1]).mean() < 0.8
    np.testing.assert_array_equal(dealt, dealt_anew(found.entities, found.times, 60, 1))
