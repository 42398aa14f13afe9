"""A graph of transactions over time: who paid whom, where, of what kind, and when each edge came to be.

Entities are ``column:value``. Labels are never read, so unlabelled records count as much as labelled ones. An edge carries the time of
the transaction that first made it, and :func:`causal` gives what could be known at a time: no figure may rest on later edges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from shared.errors import KnowledgeError, MissingColumnError
from shared.frozen import Frozen
from shared.knowledge.triples import MAX_TRIPLES, Graph

COLUMNS = ("source", "target", "location", "kind")


class TransactionColumns(Frozen):
    """Which columns say what. ``window``: length in units of the ``time`` column; an edge is made once in each window in which it
    happens, weighed by how often, so that a habit and a burst differ.
    """

    source: str
    target: str
    location: str | None = None
    kind: str | None = None
    time: str
    window: int = Field(ge=1)


@dataclass(frozen=True)
class TransactionGraph:
    """``graph``: with times; ``entities``: the entities of each transaction ``(transactions, 4)``, indices in the order of
    :data:`COLUMNS`, -1 where it has none; ``times`` ``(transactions,)``; ``skipped``: rows without a source, target or time.
    """

    graph: Graph
    entities: NDArray[np.int64]
    times: NDArray[np.int64]
    skipped: int


def transaction_graph(columns: TransactionColumns, table: Mapping[str, Sequence[str]]) -> TransactionGraph:
    """The graph of all rows of ``table`` (named columns of equal length; an empty cell is missing; times are whole numbers).

    Relations: ``pays`` source to target, ``in`` source to location, ``does`` source to kind, ``offers`` target to kind. An edge's
    time is that of its first transaction in its window. Its weight is how often it happened up to the window's end, so the weight,
    unlike the edge, is known only when the window is over: :func:`causal` leaves out windows that are still open.

    Raises :class:`MissingColumnError` and, for times that are no numbers, columns of unequal length or no usable row,
    :class:`KnowledgeError`.
    """
    times, known = _times(columns, table)
    names = [_names(columns, table, part, known) for part in COLUMNS]
    skipped = int((~known).sum()) + int((known & ((names[0] == "") | (names[1] == ""))).sum())
    usable = known & (names[0] != "") & (names[1] != "")
    if not usable.any():
        raise KnowledgeError(f"no row has '{columns.source}', '{columns.target}' and '{columns.time}'; check the columns' names")
    labels, numbers = np.unique(np.stack(names, axis=1), return_inverse=True)
    numbers = numbers.reshape(len(known), len(COLUMNS)).astype(np.int64)
    if labels[0] == "":
        labels, numbers = labels[1:], numbers - 1
    numbers[~usable] = -1
    graph = _graph(tuple(str(label) for label in labels), numbers[usable], times[usable], columns.window)
    return TransactionGraph(graph, numbers, times, skipped)


EDGES = (("pays", 0, 1), ("in", 0, 2), ("does", 0, 3), ("offers", 1, 3))
"""Relation, and which of :data:`COLUMNS` are its head and tail."""


def _graph(entities: tuple[str, ...], numbers: NDArray[np.int64], times: NDArray[np.int64], window: int) -> Graph:
    parts = []
    for relation, (_, head, tail) in enumerate(EDGES):
        there = numbers[:, tail] >= 0
        kind = np.full(int(there.sum()), relation)
        parts.append(np.column_stack([numbers[there, head], kind, numbers[there, tail], times[there] // window, times[there]]))
    rows = np.concatenate(parts)
    rows = rows[np.lexsort(rows.T[::-1])]
    _, first, counts = np.unique(rows[:, :4], axis=0, return_index=True, return_counts=True)
    if len(first) > MAX_TRIPLES:
        raise KnowledgeError(f"the transactions make {len(first)} edges, more than {MAX_TRIPLES}; lengthen the window")
    used = sorted(set(rows[first, 1].tolist()))
    triples = rows[first][:, :3].copy()
    triples[:, 1] = np.searchsorted(used, triples[:, 1])
    relations = tuple(EDGES[relation][0] for relation in used)
    return Graph(entities, relations, np.ascontiguousarray(triples), counts.astype(np.float32), rows[first, 4].copy())


def causal(graph: Graph, time: int, window: int) -> Graph:
    """What was known at ``time``: the edges of windows that were over by then. Law: it does not change with any later transaction."""
    if graph.times is None:
        return graph
    return graph.take((graph.times // window + 1) * window <= time)


def _times(columns: TransactionColumns, table: Mapping[str, Sequence[str]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    cells = _column(table, columns.time)
    known = np.array([bool(cell.strip()) for cell in cells], dtype=bool)
    try:
        times = np.array([int(cell) if cell.strip() else 0 for cell in cells], dtype=np.int64)
    except (ValueError, OverflowError):
        raise KnowledgeError(f"the column '{columns.time}' has a time that is no whole number; count in days, hours or seconds") from None
    return times, known


def _names(columns: TransactionColumns, table: Mapping[str, Sequence[str]], part: str, known: NDArray[np.bool_]) -> NDArray[np.object_]:
    column: str | None = getattr(columns, part)
    if column is None:
        return np.full(len(known), "", dtype=object)
    cells = _column(table, column)
    if len(cells) != len(known):
        raise KnowledgeError(f"the column '{column}' has {len(cells)} rows and '{columns.time}' {len(known)}; give tables of one length")
    # Source and target share their names where they are one kind of account; a location or a kind never does.
    shown = "account" if part in ("source", "target") else part
    # Objects, not fixed widths: one long name must not make every cell as long.
    return np.array([f"{shown}:{cell.strip()}" if cell.strip() else "" for cell in cells], dtype=object)


def _column(table: Mapping[str, Sequence[str]], name: str) -> Sequence[str]:
    if name not in table:
        raise MissingColumnError(f"the transactions have no column '{name}'; they have {', '.join(table)}")
    return table[name]


def dealt_anew(entities: NDArray[np.int64], times: NDArray[np.int64], span: int, seed: int) -> NDArray[np.int64]:
    """The control: who pays, who is paid, where and what kind, each dealt out anew by ``seed`` among the transactions of each ``span``
    units of time. Every entity keeps how often it is seen in each span, and no transaction its own. Shapes of :class:`TransactionGraph`.

    What still helps after this is not knowledge of who deals with whom.
    """
    random = np.random.default_rng(seed)
    dealt = entities.copy()
    spans = times // span
    for part in (np.flatnonzero(spans == number) for number in np.unique(spans)):
        for column in range(entities.shape[1]):
            dealt[part, column] = entities[random.permutation(part), column]
    return dealt
