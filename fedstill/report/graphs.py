"""What the ``fedstill knowledge`` commands found, as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fedstill.knowledge.building import BuildSummary
from fedstill.knowledge.inspecting import EntityFacts, Inspection, Triple
from shared.knowledge.coverage import ColumnCoverage, Coverage
from shared.knowledge.facts import GraphFacts

if TYPE_CHECKING:
    from fedstill.knowledge.embedding import Completion, EmbedSummary  # it needs torch, and tables of a graph do not

MOST = 20
"""Rows of a table of relations, triples or components; the rest is counted."""


def print_built(summary: BuildSummary, console: Console) -> None:
    """What was read, what was bad, and where the graph lies."""
    repeated = f", {summary.repeated:,} repeated" if summary.repeated is not None else ""
    window = f", one edge a window of {summary.window:,}" if summary.window is not None else ""
    _say(console, f"{summary.rows:,} rows read{window}: {summary.bad:,} bad{repeated}")
    print_bad(summary.bad, summary.bad_rows, console)
    print_facts(summary.graph, console)
    _say(console, f"wrote {summary.out}")


def print_bad(bad: int, rows: Sequence[str], console: Console) -> None:
    """The bad rows with file and line, and how many more there are."""
    for row in rows:
        _say(console, f"bad: {row}")
    if bad > len(rows):
        _say(console, f"bad: and {bad - len(rows):,} more; --all shows every one")


def print_inspection(found: Inspection, console: Console) -> None:
    """The graph, and the parts of it that were asked for."""
    print_bad(found.bad, found.bad_rows, console)
    if found.entity is None:
        print_facts(found.graph, console)
        _connected(found.graph, console)
    else:
        _entity(found.entity, console)
    if found.nearest is not None:
        _pairs(console, "nearest by embedding", ("entity", "cosine"), [(name, f"{cosine:.3f}") for name, cosine in found.nearest])
    if found.coverage is not None:
        _coverage(found.coverage, console)
    if found.plot is not None:
        _say(console, f"drew {found.plot}" + (f"; {found.left_out:,} neighbours are left out" if found.left_out else ""))


def print_facts(facts: GraphFacts, console: Console) -> None:
    """Sizes, dates, and triples by relation."""
    dates = f", from {facts.first} to {facts.last}" if facts.first is not None else ""
    _say(console, f"{facts.entities:,} entities, {len(facts.relations):,} relations, {facts.triples:,} triples{dates}")
    rows = [(name, f"{count:,}") for name, count in list(facts.relations.items())[:MOST]]
    _pairs(console, "relations", ("relation", "triples"), rows, len(facts.relations) - len(rows))


def print_embedded(summary: EmbedSummary, console: Console) -> None:
    """How well triples that were held out are completed, beside the baseline."""
    loss = f", loss {summary.loss:.3f}" if summary.loss is not None else ""
    learnt = f"{summary.entities:,} entities embedded from {summary.triples:,} triples in {summary.seconds:.1f} s"
    _say(console, f"{learnt} ({summary.epochs} epochs{loss})")
    if summary.completion is not None and summary.popularity is not None:
        table = Table(title=f"{summary.held_out:,} triples held out, both ends asked for (filtered)")
        for column in ("by", "MRR", "Hits@10"):
            table.add_column(column, justify="left" if column == "by" else "right")
        table.add_row("embeddings", *_figures(summary.completion))
        table.add_row("popularity alone", *_figures(summary.popularity))
        console.print(table)
    _say(console, f"wrote {summary.out}")


def _figures(found: Completion) -> tuple[str, str]:
    return f"{found.mrr:.4f}", f"{found.hits_at_10:.4f}"


def _connected(facts: GraphFacts, console: Console) -> None:
    low, middle, high, largest = facts.degrees
    _say(console, f"triples an entity: at least {low:.0f}, median {middle:.0f}, 90 % at most {high:.0f}, at most {largest:.0f}")
    _pairs(console, "most connected", ("entity", "triples"), [(name, f"{count:,}") for name, count in facts.most_connected])
    parts = facts.components
    sizes = ", ".join(f"{size:,}" for size in parts[:5]) + (", …" if len(parts) > 5 else "")
    _say(console, f"{len(parts):,} connected parts (of {sizes} entities); {facts.isolated:,} entities without a triple")
    _say(console, f"sha256 {facts.digest}")


def _entity(facts: EntityFacts, console: Console) -> None:
    count = len(facts.as_head) + len(facts.as_tail)
    _say(console, f"'{facts.entity}' is in {count:,} triples; {facts.reached:,} entities lie within {facts.hops} of it")
    _triples(console, "as head", facts.as_head)
    _triples(console, "as tail", facts.as_tail)


def _triples(console: Console, title: str, triples: Sequence[Triple]) -> None:
    if triples:
        rows = [(head, relation, tail, f"{weight:g}") for head, relation, tail, weight in triples[:MOST]]
        _pairs(console, title, ("head", "relation", "tail", "weight"), rows, len(triples) - len(rows))


def _coverage(found: Coverage, console: Console) -> None:
    rows = [_cells(column) for column in found.columns]
    _pairs(console, "columns and the graph", ("column", "values", "named", "in the graph", "tied to a class"), rows)
    for column in found.columns:
        for entity, near in column.absent.items():
            _say(console, f"'{column.column}' names '{entity}', which the graph does not have{_hint(near)}")
    for label, name in found.classes.items():
        if name is None:
            _say(console, f"label '{label}' names no entity: it shows what all records show")
        elif name in found.absent_classes:
            _say(console, f"label '{label}' names '{name}', which the graph does not have{_hint(found.absent_classes[name])}")
        else:
            _say(console, f"label '{label}' is '{name}'")
    if found.unlinked:
        _say(console, f"columns without a link: {', '.join(found.unlinked)}")


def _cells(column: ColumnCoverage) -> tuple[str, ...]:
    return column.column, str(column.alternatives), str(column.named), str(column.has), str(column.tied)


def _hint(near: Sequence[str]) -> str:
    return f"; near: {', '.join(near)}" if near else ""


def _pairs(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], more: int = 0) -> None:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column in ("head", "relation", "tail", "entity", "column") else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # a name may look like markup
    console.print(table)
    if more > 0:
        _say(console, f"and {more:,} more")


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)
