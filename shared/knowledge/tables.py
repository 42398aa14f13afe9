"""Triples from TSV and CSV files: head, relation, tail, and perhaps a weight and a time."""

from __future__ import annotations

import csv
from pathlib import Path

from shared.errors import KnowledgeError
from shared.files import write_atomic
from shared.knowledge.moments import Clock
from shared.knowledge.names import is_name
from shared.knowledge.packing import packed, plain_suffix
from shared.knowledge.reading import SHOWN, Reading, Tally, bounded_text
from shared.knowledge.triples import Graph, graph_of

HEADER = ("head", "relation", "tail", "weight", "time")
"""The names of the columns. A file whose first line has the first three, in any order and perhaps among others, has a header."""
SUFFIXES = {".tsv": "\t", ".tab": "\t", ".txt": "\t", ".csv": ","}


def read_table(path: Path, *, shown: int = SHOWN) -> Reading:
    """The triples of a ``.tsv`` or ``.csv`` file, packed with gzip (``.gz``) or not.

    Without a header the columns are head, relation, tail and weight, in that order. With one, a column ``time`` makes a graph with
    dates (:class:`Clock` says what is a time). Lines that begin with ``#`` are remarks. A row is one line: names hold no line break.
    Rows that are no triples are counted, and the first ``shown`` of them kept (:class:`Reading`).

    Raises :class:`KnowledgeError` for another suffix, for what is no text, for a file that is too large, and where no row is a
    triple; :class:`MissingFileError`.
    """
    rows = _Rows(Tally(path, shown), _separator(path))
    for line, text in enumerate(bounded_text(path, what="triples").split("\n"), start=1):
        rows.take(line, text.rstrip("\r"))
    tally = rows.tally
    return tally.reading(graph_of(tally.good, times=tally.times if rows.dated else None))


def write_table(graph: Graph, path: Path) -> None:
    """Writes ``graph`` as the one form of its kind: a header, then a line a triple, sorted by names (and time), weights so that float32
    comes back exactly, a column ``time`` only where there are dates. The order is that of :data:`HEADER`, but for heads that look like
    remarks. Whole or not at all; packed where the name ends in ``.gz``.

    Law: :func:`read_table` gives back an equal graph, but for entities without a triple.

    Raises :class:`KnowledgeError` for a name that no table can hold and for a suffix that is not ``.tsv``; :class:`ResourceError`.
    """
    if plain_suffix(path) != ".tsv":
        raise KnowledgeError(f"{path} is not named .tsv or .tsv.gz, and triples are written as that; name it so")
    odd = next((name for name in (*graph.entities, *graph.relations) if not is_name(name) or name != name.strip()), None)
    if odd is not None:
        raise KnowledgeError(f"the name {odd[:80]!r} cannot be written in a table; names are printable and begin and end with no space")
    lines = sorted((*row[:3], time, row[3]) for row, time in zip(graph.rows(), _times(graph), strict=True))
    # A line that begins with # is a remark: where a head does, the weight stands before it.
    first = ("weight",) if any(head.startswith("#") for head, *_ in lines) else ()
    columns = [*first, *(name for name in HEADER if name not in first and (name != "time" or graph.times is not None))]
    content = ["\t".join(columns)]
    for head, relation, tail, time, weight in lines:
        cells = {"head": head, "relation": relation, "tail": tail, "weight": f"{weight:.9g}", "time": str(time)}
        content.append("\t".join(cells[name] for name in columns))
    write_atomic(path, packed(path, ("\n".join(content) + "\n").encode()))


def _times(graph: Graph) -> list[int]:
    return [0] * len(graph) if graph.times is None else graph.times.tolist()


def _separator(path: Path) -> str:
    suffix = plain_suffix(path)
    if suffix not in SUFFIXES:
        raise KnowledgeError(f"{path} is neither .tsv nor .csv; name it by what separates its columns")
    return SUFFIXES[suffix]


class _Rows:
    """The lines of one file as they come: what the first says decides how the others are read."""

    def __init__(self, tally: Tally, separator: str) -> None:
        self.tally, self._separator, self._clock = tally, separator, Clock()
        self._places: dict[str, int] = {}

    @property
    def dated(self) -> bool:
        return "time" in self._places

    def take(self, line: int, text: str) -> None:
        if not text.strip() or text.startswith("#"):
            return
        cells = _cells(text, self._separator)
        if cells is None:
            self.tally.bad(line, "its quotes do not close")
        elif self._places or not self._header(cells):
            self._add(line, cells)

    def _header(self, first: list[str]) -> bool:
        names = [cell.strip().lower() for cell in first]
        if set(HEADER[:3]) <= set(names):
            self._places = {name: names.index(name) for name in HEADER if name in names}
            return True
        self._places = dict(zip(HEADER[:4], range(4), strict=True))
        return False

    def _add(self, line: int, cells: list[str]) -> None:
        needed = [self._places[name] for name in (*HEADER[:3], "time") if name in self._places]
        if len(cells) <= max(needed):
            return self.tally.bad(
                line, f"it has {len(cells)} columns; head, relation{', tail and time' if self.dated else ' and tail'} are needed"
            )
        head, relation, tail, *time = (cells[place] for place in needed)
        place = self._places.get("weight")
        written = cells[place].strip() if place is not None and place < len(cells) else ""
        try:
            weight = float(written) if written else 1.0
        except ValueError:
            return self.tally.bad(line, "its weight is no number")
        try:
            moment = self._clock.read(time[0]) if time else 0
        except (ValueError, OverflowError):
            return self.tally.bad(line, "its time is neither a whole number nor a date, or not what the times before it are")
        return self.tally.add(line, head, relation, tail, weight, moment)


def _cells(text: str, separator: str) -> list[str] | None:
    # Tab-separated files quote nothing: a name may begin with a quotation mark.
    if separator == "\t":
        return text.split("\t")
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error:
        return None
