"""Tables for people say what was found, and how much more there is."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from rich.console import Console

from fedstill.knowledge.building import BuildSummary
from fedstill.knowledge.embedding import Completion, EmbedSummary
from fedstill.knowledge.inspecting import Inspection, entity_facts
from fedstill.report.graphs import print_bad, print_built, print_embedded, print_facts, print_inspection
from shared.knowledge.facts import facts_of
from shared.knowledge.pretraining import PretrainingSettings
from shared.knowledge.triples import graph_of

GRAPH = graph_of([(f"[red]{number}", f"r{number}", "b", 1.0) for number in range(25)])


def printed(call: object, *arguments: object) -> str:
    text = StringIO()
    call(*arguments, Console(file=text, width=120))  # type: ignore[operator]
    return text.getvalue()


def test_bad_rows_are_said_with_how_many_more_there_are() -> None:
    assert (
        printed(print_bad, 3, ["a, line 1: x", "a, line 2: y"])
        == "bad: a, line 1: x\nbad: a, line 2: y\nbad: and 1 more; --all shows every one\n"
    )
    assert printed(print_bad, 0, []) == ""


def test_long_tables_are_cut_and_the_rest_is_counted() -> None:
    out = printed(print_facts, facts_of(GRAPH))
    assert "26 entities, 25 relations, 25 triples" in out
    assert "and 5 more" in out
    out = printed(print_inspection, Inspection(graph=facts_of(GRAPH), bad=0, bad_rows=(), entity=entity_facts(GRAPH, "b")))
    assert "'b' is in 25 triples; 25 entities lie within 1 of it" in out
    assert "and 5 more" in out
    # A name that looks like markup is shown as it is.
    assert "[red]0" in out


def test_a_build_says_what_was_read_and_where_it_lies() -> None:
    found = BuildSummary(out=Path("o.tsv"), rows=30, repeated=2, bad=3, bad_rows=(), window=7, graph=facts_of(GRAPH))
    out = printed(print_built, found)
    assert "30 rows read, one edge a window of 7: 3 bad, 2 repeated" in out
    assert out.endswith("wrote o.tsv\n")


def test_figures_stand_beside_the_baseline_where_some_were_held_out() -> None:
    found = EmbedSummary(
        out=Path("e"),
        entities=26,
        relations=25,
        triples=23,
        held_out=2,
        settings=PretrainingSettings(),
        seed=0,
        epochs=15,
        loss=1.5,
        seconds=2.0,
        completion=Completion(mrr=0.5, hits_at_10=1.0),
        popularity=Completion(mrr=0.25, hits_at_10=0.75),
    )
    out = printed(print_embedded, found)
    assert all(figure in out for figure in ("0.5000", "1.0000", "0.2500", "0.7500"))
    alone = printed(print_embedded, found.model_copy(update={"completion": None, "popularity": None}))
    assert "popularity" not in alone
