"""An institution's own transactions linked by their ids: figures of how their entities behaved before become columns of its records.

The graph is made of the institution's rows alone and never leaves it, nor do its ids: what leaves is the update of a student that has
learnt from the figures. A figure of a row rests on earlier rows alone and on no label, so it may be computed of held-out rows too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.data.table import LARGEST, Table, to_number
from shared.errors import ConfigError, DataError, KnowledgeError
from shared.knowledge.behaviour import behaviour
from shared.knowledge.moments import Clock
from shared.knowledge.transactions import TransactionColumns, transaction_graph
from shared.sources import CsvData
from shared.task import TabularTask
from shared.transaction_links import TransactionLinks

Figures = dict[str, NDArray[np.float32]]
"""Columns ``(rows,)`` by name, NaN where nothing can be said."""


def linked_figures(table: Table, data: CsvData, task: TabularTask, sites: NDArray[np.str_] | None = None) -> Figures:
    """The columns of ``task`` that ``data.transactions`` gives and ``table`` does not have, for each of its rows; nothing where it links
    none. With ``sites`` ``(rows,)`` the rows of each are linked among themselves alone.

    A row without a source, target, time or amount is linked to nothing, and has NaN. Raises :class:`ConfigError` for a task that asks for
    no such figure and for links by its label, :class:`MissingColumnError`, :class:`DataError` for an amount that is no number of at least
    0, and :class:`KnowledgeError` for times that are neither whole numbers nor dates and for a figure that there is not.
    """
    links = data.transactions
    if links is None:
        return {}
    asked = [column.name for column in task.columns if column.kind == "numeric" and column.name not in table.header]
    if not asked:
        raise ConfigError(
            f"data.transactions links the rows of {data.path}, but the task has no column that it gives; "
            f"add numeric columns such as source.total or target.in{links.windows[0]}"
        )
    if task.label in (links.source, links.target, links.location, links.kind, links.time, links.amount):
        raise ConfigError(f"data.transactions links rows by '{task.label}', which is the label: a figure would tell it; leave it out")
    names, missing = np.zeros(len(table.rows), np.int64) if sites is None else np.unique(sites, return_inverse=True)[1], set(data.missing)
    found = {name: np.full(len(table.rows), np.nan, dtype=np.float32) for name in asked}
    for site in np.unique(names):
        rows = np.flatnonzero(names == site)
        part = Table(table.path, table.header, [table.rows[int(row)] for row in rows], [table.lines[int(row)] for row in rows])
        values = _figures(part, links, asked, missing)
        for place, name in enumerate(asked):
            found[name][rows] = values[:, place]
    return found


def _figures(table: Table, links: TransactionLinks, asked: list[str], missing: set[str]) -> NDArray[np.float32]:
    amounts = _amounts(table, links.amount, missing)
    columns = TransactionColumns(
        source=links.source, target=links.target, location=links.location, kind=links.kind, time=links.time, window=links.windows[-1]
    )
    used = [name for name in (links.source, links.target, links.location, links.kind) if name is not None]
    cells = {name: ["" if text in missing else text for _, text in table.cells(name)] for name in used}
    # A row without an amount is linked to nothing, as one without a time is.
    times = _times(table, links.time, missing)
    cells[links.time] = ["" if np.isnan(amount) else time for time, amount in zip(times, amounts, strict=True)]
    if not any(_linked(cells, links)):
        return np.full((len(amounts), len(asked)), np.nan, dtype=np.float32)
    graph = transaction_graph(columns, cells)
    return behaviour(graph, np.nan_to_num(amounts), links.windows, links.pairs).take(asked)


def _linked(cells: dict[str, list[str]], links: TransactionLinks) -> list[bool]:
    needed = [cells[name] for name in (links.source, links.target, links.time)]
    return [all(row) for row in zip(*needed, strict=True)]


def _times(table: Table, column: str, missing: set[str]) -> list[str]:
    clock, found = Clock(), []
    for line, text in table.cells(column):
        try:
            found.append("" if text in missing else str(clock.read(text)))
        except (ValueError, OverflowError):
            raise KnowledgeError(
                f"{table.place(line, column)} is neither a whole number nor a date, or not what the times before it are; correct it"
            ) from None
    return found


def _amounts(table: Table, column: str, missing: set[str]) -> NDArray[np.float64]:
    found = []
    for line, text in table.cells(column):
        value = np.nan if text in missing else to_number(text)
        if value is None or (text not in missing and not 0 <= value <= LARGEST):
            raise DataError(f"{table.place(line, column)} is no amount of at least 0; correct it, and give the direction as a kind")
        found.append(value)
    return np.array(found, dtype=np.float64)
