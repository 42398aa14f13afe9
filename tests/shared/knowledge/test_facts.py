"""Facts against plain counts."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shared.knowledge.facts import facts_of
from shared.knowledge.triples import Row, graph_of

NAMES = st.sampled_from([f"e{number}" for number in range(12)])
ROWS = st.lists(st.tuples(NAMES, st.sampled_from(["r", "s"]), NAMES, st.just(1.0)), max_size=14)


def parts_of(rows: list[Row], names: tuple[str, ...]) -> list[int]:
    part = {name: name for name in names}
    for _ in names:
        for head, _, tail, _ in rows:
            part[head] = part[tail] = min(part[head], part[tail])
    return sorted(Counter(part.values()).values(), reverse=True)


@given(ROWS)
def test_facts_are_what_counting_finds(rows: list[Row]) -> None:
    graph = graph_of(rows, entities=["alone"])
    facts = facts_of(graph, most=3)
    distinct = set(rows)
    ends = Counter(name for head, _, tail, _ in distinct for name in (head, tail))
    assert (facts.entities, facts.triples, facts.isolated) == (len(ends) + 1, len(distinct), 1)
    assert facts.relations == dict(Counter(row[1] for row in distinct))
    assert list(facts.relations.values()) == sorted(facts.relations.values(), reverse=True)
    assert [count for _, count in facts.most_connected] == sorted(ends.values(), reverse=True)[:3]
    assert all(ends[name] == count for name, count in facts.most_connected)
    assert list(facts.components) == parts_of(rows, graph.entities)
    assert sum(facts.components) == facts.entities
    assert (facts.degrees[0], facts.degrees[3]) == (0, max(ends.values(), default=0))
    assert facts.first is None


def test_dates_and_an_empty_graph() -> None:
    row: Row = ("a", "r", "b", 1.0)
    dated = facts_of(graph_of([row, row], times=[4, 9]))
    assert (dated.first, dated.last) == (4, 9)
    empty = facts_of(graph_of([]).take(np.zeros(0, dtype=bool)))
    assert (empty.entities, empty.triples, empty.components) == (0, 0, ())
