"""Transactions from a CSV or TSV file with a header: every row counts, and one that cannot is shown with its line."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from shared.errors import KnowledgeError, MissingColumnError
from shared.knowledge.moments import Clock, window_length
from shared.knowledge.names import MAX_NAME, near_names
from shared.knowledge.packing import plain_suffix
from shared.knowledge.reading import LATEST, SHOWN, BadRow, bounded_text
from shared.knowledge.tables import SUFFIXES
from shared.knowledge.transactions import TransactionColumns, TransactionGraph, transaction_graph

LONGEST = MAX_NAME - len("location:")
"""Characters of a cell that becomes a name behind the name of its kind."""


@dataclass(frozen=True)
class TransactionNames:
    """Which columns of a file say what, as in :class:`TransactionColumns`; ``window`` as :func:`window_length` reads it."""

    source: str
    target: str
    time: str
    location: str | None = None
    kind: str | None = None
    window: str | None = None

    def used(self) -> tuple[str, ...]:
        """The columns that are named."""
        return tuple(name for name in (self.source, self.target, self.time, self.location, self.kind) if name is not None)


@dataclass(frozen=True)
class TransactionReading:
    """``found``: the graph, and the entities of each row of the file in its order, bad ones with none; ``window``: its length in the units
    of ``found.times``, seconds where the file has dates (``dated``); ``rows``, ``bad`` and ``shown`` as in :class:`Reading`.
    """

    found: TransactionGraph
    window: int
    dated: bool
    rows: int
    bad: int
    shown: tuple[BadRow, ...]


def read_transactions(path: Path, names: TransactionNames, *, shown: int = SHOWN) -> TransactionReading:
    """The graph of the transactions in ``path`` (packed with gzip or not), labelled or not: labels are never looked at.

    A row is bad where source, target or time is missing, where the time is none (:class:`Clock`), or where a name is too long or not
    printable. An empty location or kind is only left out. Raises :class:`MissingColumnError`, and :class:`KnowledgeError` for another
    suffix, quotes that do not close, and no usable row; :class:`MissingFileError`.
    """
    suffix = plain_suffix(path)
    if suffix not in SUFFIXES:
        raise KnowledgeError(f"{path} is neither .csv nor .tsv; export the transactions as that")
    lines = csv.reader(bounded_text(path, what="transactions").splitlines(keepends=True), delimiter=SUFFIXES[suffix], strict=True)
    rows = _Rows(path, names, shown)
    try:
        rows.header(next(lines, []))
        for cells in lines:
            if cells:
                rows.take(lines.line_num, cells)
    except csv.Error as error:
        raise KnowledgeError(f"{path}, line {lines.line_num} is no row of a table ({error}); correct it") from None
    dated = bool(rows.clock.dated)
    window = window_length(names.window, dated=dated)
    columns = TransactionColumns(
        source=names.source, target=names.target, location=names.location, kind=names.kind, time=names.time, window=window
    )
    return TransactionReading(transaction_graph(columns, rows.table), window, dated, rows.count, rows.bad, tuple(rows.shown))


class _Rows:
    """The rows of one file as columns; a bad row stays as one of empty cells, so that rows keep their places."""

    def __init__(self, path: Path, names: TransactionNames, most: int) -> None:
        self._path, self._names, self._most = path, names, most
        self.clock, self.count, self.bad, self.shown = Clock(), 0, 0, list[BadRow]()
        self.table: dict[str, list[str]] = {name: [] for name in names.used()}
        self._places: dict[str, int] = {}

    def header(self, first: list[str]) -> None:
        there = [cell.strip() for cell in first]
        for name in self._names.used():
            if name not in there:
                near = near_names(name, there)
                hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(there[:12])}"
                raise MissingColumnError(f"{self._path} has no column '{name}'; {hint}")
            self._places[name] = there.index(name)

    def take(self, line: int, cells: list[str]) -> None:
        self.count += 1
        cells = cells + [""] * (1 + max(self._places.values()) - len(cells))
        row = {name: cells[place].strip() for name, place in self._places.items()}
        reason = self._wrong(row)
        if reason is not None:
            self.bad += 1
            if len(self.shown) < self._most:
                self.shown.append(BadRow(self._path, line, reason))
        else:
            row[self._names.time] = str(self.clock.read(row[self._names.time]))
        for name, column in self.table.items():
            column.append(row[name] if reason is None else "")

    def _wrong(self, row: dict[str, str]) -> str | None:
        names = self._names
        for needed in (names.source, names.target, names.time):
            if not row[needed]:
                return f"its '{needed}' is empty"
        for name, cell in row.items():
            if name != names.time and (len(cell) > LONGEST or not cell.isprintable()):
                return f"its '{name}' is longer than {LONGEST} characters or not printable"
        try:
            within = abs(self.clock.read(row[names.time])) <= LATEST
        except (ValueError, OverflowError):
            return f"its '{names.time}' is neither a whole number nor a date, or not what the times before it are"
        return None if within else f"its '{names.time}' is more than {LATEST} from 0"
