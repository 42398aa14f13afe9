"""A graph from files or from transactions, as one table of triples."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.errors import ConfigError, KnowledgeError
from shared.frozen import Frozen
from shared.knowledge.facts import GraphFacts, facts_of
from shared.knowledge.moments import Clock
from shared.knowledge.opening import read_graph
from shared.knowledge.reading import SHOWN, BadRow, merged
from shared.knowledge.tables import write_table
from shared.knowledge.transaction_file import TransactionNames, read_transactions
from shared.knowledge.transactions import causal
from shared.knowledge.triples import Graph

EVERY = sys.maxsize
"""So many bad rows keep their reason where all are asked for."""


class BuildSummary(Frozen):
    """``rows`` seen, ``repeated`` triples that stood already, ``bad`` rows and the reasons of the first (or all) of them; of transactions,
    ``window`` in units of time, seconds where they have dates, and None of what a file of triples alone has.
    """

    out: Path
    rows: int
    repeated: int | None
    bad: int
    bad_rows: tuple[str, ...]
    window: int | None = None
    graph: GraphFacts


@dataclass(frozen=True)
class Built:
    """A graph before it is written, and what became of the rows."""

    graph: Graph
    rows: int
    bad: int
    shown: tuple[BadRow, ...]
    repeated: int | None = None
    window: int | None = None


def from_files(files: Sequence[str], *, target: str | None = None, before: str | None = None, every: bool = False) -> Built:
    """All triples of ``files`` (names of built-in graphs among them) as one graph; ``before``: of a dated one, what held before that time.

    Raises :class:`KnowledgeError` as the readers do.
    """
    found = merged([read_graph(name, target=target, shown=EVERY if every else SHOWN) for name in files])
    return Built(held_before(found.graph, before), found.rows, found.bad, found.shown, found.repeated)


def from_transactions(path: Path, names: TransactionNames, *, before: str | None = None, every: bool = False) -> Built:
    """The dated graph of transactions; ``before``: only windows that were over by then, so that no weight knows what came later."""
    found = read_transactions(path, names, shown=EVERY if every else SHOWN)
    graph = found.found.graph
    if before is not None:
        graph = _checked(causal(graph, moment(before), found.window), before)
    return Built(graph, found.rows, found.bad, found.shown, window=found.window)


def write_graph(built: Built, out: Path, sources: Sequence[str | Path], *, strict: bool = False) -> BuildSummary:
    """Writes the graph to ``out``, whole or not at all.

    Raises :class:`ConfigError` where ``out`` is one of the ``sources``, whose bad rows would be lost, and :class:`KnowledgeError` where
    ``strict`` and a row is bad: then nothing is written.
    """
    if any(out.exists() and Path(source).exists() and out.samefile(source) for source in sources):
        raise ConfigError(f"--out {out} is one of the files that are read; name another, so that none of its rows is lost")
    if strict and built.bad:
        raise KnowledgeError(f"{built.bad} of {built.rows} rows are bad, the first: {built.shown[0]}; correct them or leave out --strict")
    write_table(built.graph, out)
    return BuildSummary(
        out=out,
        rows=built.rows,
        repeated=built.repeated,
        bad=built.bad,
        bad_rows=tuple(str(row) for row in built.shown),
        window=built.window,
        graph=facts_of(built.graph),
    )


def held_before(graph: Graph, before: str | None) -> Graph:
    """What a dated graph held before a time, all of it where none is given. Raises :class:`ConfigError` for a graph without dates."""
    if before is None:
        return graph
    if graph.times is None:
        raise ConfigError("--before asks what held at a time, and these triples have no dates; leave it out")
    return _checked(graph.before(moment(before)), before)


def moment(text: str) -> int:
    """A time as an option gives it: a whole number in the graph's units, or a date. Raises :class:`ConfigError`."""
    try:
        return Clock().read(text)
    except (ValueError, OverflowError):
        raise ConfigError(f"--before {text[:40]} is no time; give a whole number or a date as in 2024-05-31") from None


def _checked(graph: Graph, before: str) -> Graph:
    if not len(graph):
        raise KnowledgeError(f"nothing held before {before}; give a later time")
    return graph
