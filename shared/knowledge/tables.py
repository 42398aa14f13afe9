"""Triples from TSV and CSV files: head, relation, tail, and perhaps a weight."""

from __future__ import annotations

import csv
from pathlib import Path

from shared.errors import KnowledgeError
from shared.knowledge.reading import Reading, Tally, bounded_text, lines_of
from shared.knowledge.triples import graph_of

HEADER = ("head", "relation", "tail", "weight")
"""The names of the columns. A file whose first line has the first three, in any order and perhaps among others, has a header."""
_SUFFIXES = {".tsv": "\t", ".tab": "\t", ".txt": "\t", ".csv": ","}


def read_table(path: Path) -> Reading:
    """The triples of a ``.tsv`` or ``.csv`` file, packed with gzip (``.gz``) or not.

    Without a header the columns are head, relation, tail and weight, in that order. Lines that begin with ``#`` are remarks. A row
    is one line: names hold no line break. Rows that are no triples are counted and shown (:class:`Reading`).

    Raises :class:`KnowledgeError` for another suffix, for what is no text, for a file that is too large, and where no row is a
    triple; :class:`MissingFileError`.
    """
    separator = _separator(path)
    tally, places = Tally(path), None
    for line, text in lines_of(bounded_text(path, what="triples")):
        cells = _cells(text, separator)
        if cells is None:
            tally.bad(line, "its quotes do not close")
        elif places is None:
            places, is_header = _places(cells)
            if not is_header:
                _add(tally, line, cells, places)
        else:
            _add(tally, line, cells, places)
    return tally.reading(graph_of(tally.good))


def _separator(path: Path) -> str:
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if suffix.lower() not in _SUFFIXES:
        raise KnowledgeError(f"{path} is neither .tsv nor .csv; name it by what separates its columns")
    return _SUFFIXES[suffix.lower()]


def _cells(text: str, separator: str) -> list[str] | None:
    # Tab-separated files quote nothing: a name may begin with a quotation mark.
    if separator == "\t":
        return text.split("\t")
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error:
        return None


def _places(first: list[str]) -> tuple[dict[str, int], bool]:
    names = [cell.strip().lower() for cell in first]
    if set(HEADER[:3]) <= set(names):
        return {name: names.index(name) for name in HEADER if name in names}, True
    return dict(zip(HEADER, range(len(HEADER)), strict=True)), False


def _add(tally: Tally, line: int, cells: list[str], places: dict[str, int]) -> None:
    needed = [places[name] for name in HEADER[:3]]
    if len(cells) <= max(needed):
        return tally.bad(line, f"it has {len(cells)} columns; head, relation and tail are needed")
    head, relation, tail = (cells[place] for place in needed)
    place = places.get("weight")
    written = cells[place].strip() if place is not None and place < len(cells) else ""
    try:
        return tally.add(line, head, relation, tail, float(written) if written else 1.0)
    except ValueError:
        return tally.bad(line, "its weight is no number")
