"""Rows of text become records: numbers, categories and labels by the task's columns; an error names the place, never the content."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from shared.data.records import UNLABELLED, Records
from shared.errors import DataError, LabelError, MissingColumnError, NotFiniteError
from shared.task import CategoricalColumn, Column, TabularTask

_NONE: Mapping[str, NDArray[np.float32]] = MappingProxyType({})
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Table:
    """A CSV file as text. ``lines`` holds the line of the file on which each row ends, for errors."""

    path: Path
    header: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    lines: Sequence[int]

    def column(self, name: str) -> int:
        """The position of a column; raises :class:`MissingColumnError` with the columns that are there."""
        if name not in self.header:
            raise MissingColumnError(f"{self.path} has no column '{name}'; its columns are: {', '.join(self.header)}")
        return self.header.index(name)

    def cells(self, name: str) -> Iterator[tuple[int, str]]:
        """Line and text, without outer spaces, of each row's cell in a column."""
        position = self.column(name)
        for line, row in zip(self.lines, self.rows, strict=True):
            yield line, row[position].strip()

    def place(self, line: int, column: str) -> str:
        """Where a cell lies, for an error: it names no content."""
        return f"{self.path}, line {line}, column '{column}'"


def to_records(
    table: Table,
    task: TabularTask,
    missing: frozenset[str],
    *,
    unlabelled: bool = False,
    figures: Mapping[str, NDArray[np.float32]] = _NONE,
) -> Records:
    """The rows as records: ``inputs float32 (rows, columns)`` (a category is its index, missing is NaN), ``labels int64``; ``figures``:
    columns ``(rows,)`` that are not read from the table.

    With ``unlabelled``, a missing label is -1, else it is an error.
    Raises :class:`MissingColumnError`, :class:`LabelError` for a label outside the task's (or missing),
    :class:`NotFiniteError` for an infinity or a NaN that ``missing`` does not list, :class:`DataError` for other text.
    """
    inputs = to_inputs(table, task, missing, figures)
    return Records(inputs, read_labels(table, task.label, task.labels, missing if unlabelled else frozenset()))


def to_inputs(
    table: Table, task: TabularTask, missing: frozenset[str], figures: Mapping[str, NDArray[np.float32]] = _NONE
) -> NDArray[np.float32]:
    """The rows' inputs alone, ``float32 (rows, columns)``; raises as :func:`to_records` does of them. No label is looked at."""
    inputs = np.empty((len(table.rows), len(task.columns)), dtype=np.float32)
    for position, column in enumerate(task.columns):
        if column.name in figures:
            inputs[:, position] = figures[column.name]
            continue
        value = _value_reader(table, column, missing)
        inputs[:, position] = [value(line, text) for line, text in table.cells(column.name)]
    return inputs


def to_number(text: str) -> float | None:
    """The number that a cell holds in plain or exponent notation, infinities and NaN included; ``None`` for other text."""
    # float() would also take digit groups (1_000), which no data file means.
    if "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _value_reader(table: Table, column: Column, missing: frozenset[str]) -> Callable[[int, str], float]:
    if isinstance(column, CategoricalColumn):
        return _category_reader(table, column, missing)

    def number(line: int, text: str) -> float:
        if text in missing:
            return np.nan
        value = to_number(text)
        if value is None:
            raise DataError(f"{table.place(line, column.name)} is not a number; correct it or list it under data.missing")
        if not abs(value) <= LARGEST:
            raise NotFiniteError(
                f"{table.place(line, column.name)} is infinite, too large or not a number; correct it or list it under data.missing"
            )
        return value

    return number


def _category_reader(table: Table, column: CategoricalColumn, missing: frozenset[str]) -> Callable[[int, str], float]:
    index = {category: float(position) for position, category in enumerate(column.categories)}

    def category(line: int, text: str) -> float:
        # A task may declare a text such as "NA" as a category: that says more than a list of missing tokens does.
        if text in index:
            return index[text]
        if text in missing:
            return np.nan
        raise DataError(
            f"{table.place(line, column.name)} is none of the column's {len(index)} categories; correct it or add it to the task"
        )

    return category


def read_labels(table: Table, column: str, labels: Sequence[str], none: frozenset[str]) -> NDArray[np.int64]:
    """Each row's label as its position within ``labels``, or :data:`UNLABELLED` where the cell is one of ``none``: int64 ``(rows,)``.

    Raises :class:`MissingColumnError`, and :class:`LabelError` for any other text.
    """
    index = dict.fromkeys(none, UNLABELLED) | {label: position for position, label in enumerate(labels)}
    found = []
    for line, text in table.cells(column):
        if text not in index:
            hint = "correct it" if text else "fill it in, or set data.unlabelled to learn from such rows without a label"
            raise LabelError(f"{table.place(line, column)} is none of the task's labels ({', '.join(labels)}); {hint}")
        found.append(index[text])
    return np.array(found, dtype=np.int64)
