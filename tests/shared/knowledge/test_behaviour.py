from __future__ import annotations

from math import log1p

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import KnowledgeError
from shared.knowledge.behaviour import RECENT, Behaviour, History, behaviour
from shared.knowledge.transactions import TransactionColumns, TransactionGraph, transaction_graph

COLUMNS = TransactionColumns(source="from", target="to", location="place", kind="type", time="day", window=10)
WINDOWS = (3, 20)
Row = tuple[str, str, str, str, int, int]
ROWS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from("xyz"),
        st.sampled_from(["", "X"]),
        st.sampled_from("tu"),
        st.integers(0, 40),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=60,
)


def graph_of(rows: list[Row]) -> TransactionGraph:
    names = ("from", "to", "place", "type", "day")
    return transaction_graph(COLUMNS, {name: [str(row[place]) for row in rows] for place, name in enumerate(names)})


def figures_of(rows: list[Row]) -> Behaviour:
    return behaviour(graph_of(rows), np.array([float(row[5]) for row in rows]), WINDOWS, pairs=[("target", "kind")])


def plain(rows: list[Row], number: int) -> dict[str, float]:
    """The source's figures of one row, by the words of the docstring."""
    own = rows[number]
    before = sorted((row[4], place) for place, row in enumerate(rows) if (row[4], place) < (own[4], number))
    mine = [rows[place] for _, place in before if rows[place][0] == own[0]]
    near = {window: [row for row in mine if row[4] >= own[4] - window] for window in WINDOWS}
    new = [all(other[1] != row[1] for other in mine[:place]) for place, row in enumerate(mine)][-RECENT:]
    usual = [log1p(row[5]) for row in mine[-RECENT:]]
    return {
        "source.total": log1p(len(mine)),
        "source.in3": log1p(len(near[3])),
        "source.in20": log1p(len(near[20])),
        "source.gap": log1p(own[4] - mine[-1][4]) if mine else np.nan,
        "source.same": log1p(sum(row[5] == own[5] for row in near[20])),
        "source.new": (sum(new) + 1) / (len(new) + 2),
        "source.deviation": log1p(own[5]) - sum(usual) / len(usual) if mine else np.nan,
    }


@given(ROWS)
def test_figures_are_those_of_the_plain_words(rows: list[Row]) -> None:
    found = figures_of(rows)
    for number in range(len(rows)):
        wanted = plain(rows, number)
        np.testing.assert_allclose(found.take(list(wanted))[number], list(wanted.values()), rtol=1e-5, atol=1e-6)


@given(ROWS, ROWS)
def test_no_figure_changes_with_what_comes_later(rows: list[Row], later: list[Row]) -> None:
    last = max(row[4] for row in rows)
    future = [(*row[:4], row[4] + last, row[5]) for row in later]
    before, after = figures_of(rows), figures_of(rows + future)
    np.testing.assert_allclose(before.values, after.values[: len(rows)], rtol=1e-5, atol=1e-6)


@given(ROWS)
def test_an_entity_that_is_missing_has_no_figures(rows: list[Row]) -> None:
    found = figures_of(rows)
    missing = np.array([row[2] == "" for row in rows])
    assert np.isnan(found.take(["location.total", "location.new"])[missing]).all()
    assert np.isfinite(found.take(["location.total", "location.new"])[~missing]).all()


def test_pairs_are_met_together() -> None:
    rows: list[Row] = [("a", "x", "", "t", 0, 1), ("b", "x", "", "u", 1, 1), ("c", "x", "", "t", 2, 1)]
    np.testing.assert_allclose(figures_of(rows).take(["target+kind.total"])[:, 0], np.log1p([0, 0, 1]), rtol=1e-6)


def test_what_cannot_be_counted_is_refused() -> None:
    graph = graph_of([("a", "x", "", "t", 0, 1)])
    with pytest.raises(KnowledgeError, match="1 transactions and 2 amounts"):
        behaviour(graph, np.ones(2), WINDOWS)
    with pytest.raises(KnowledgeError, match="negative"):
        behaviour(graph, np.array([-1.0]), WINDOWS)
    for windows in ((), (0,), (5, 5), (9, 3)):
        with pytest.raises(KnowledgeError, match="windows must be"):
            behaviour(graph, np.ones(1), windows)
    with pytest.raises(KnowledgeError, match="no figure 'age'"):
        figures_of([("a", "x", "", "t", 0, 1)]).take(["age"])


def test_keys_of_large_pairs_over_a_long_time_do_not_overflow() -> None:
    keys, times = np.array([2**62, 5, 2**62, -1, 5]), np.array([0, 2**40, 2**40 + 1, 2**41, 2**41])
    history = History(keys, times)
    assert history.earlier().tolist()[:3] == [0, 0, 1]
    np.testing.assert_array_equal(history.earlier(2**40), [0, 0, 0, np.nan, 1])
    np.testing.assert_array_equal(history.gap(), [np.nan, np.nan, 2**40 + 1, np.nan, 2**40])


def test_windows_over_long_times_with_one_that_is_blank_are_counted_right() -> None:
    # Microseconds since 1970, a row whose time is missing and stands at 0, and many keys.
    keys = np.concatenate([[0], np.repeat(np.arange(6000), 2)])
    times = np.concatenate([[0], np.tile([1_700_000_000_000_000, 1_700_000_000_000_005], 6000)])
    order = np.argsort(times, kind="stable")
    counts = History(keys[order], times[order]).earlier(10)
    second = np.zeros(len(order), bool)
    second[1:] = times[order][1:] == times.max()
    assert (counts[second] == 1).all()
    assert (counts[~second] == 0).all()
