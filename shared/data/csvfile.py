"""CSV files: read whole, checked for shape, and taken apart by the column that names each row's site."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.data.ledger import linked_figures
from shared.data.naming import institution_name
from shared.data.records import Records
from shared.data.table import Table, to_records
from shared.data.text import read_texts, read_tokeniser
from shared.errors import DataError
from shared.files import read_bytes
from shared.sources import CsvData
from shared.task import TabularTask, TextTask


def read_table(data: CsvData) -> Table:
    """The file as text. Raises :class:`MissingFileError`, and :class:`DataError` if it is not a CSV file with one header."""
    try:
        text = read_bytes(data.path, what="records").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{data.path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    rows, lines = [], []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = tuple(name.strip() for name in next(reader, ()))
        _check_header(data, header)
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise DataError(f"{data.path}, line {reader.line_num} has {len(row)} fields; the header has {len(header)}: correct it")
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(f"{data.path}, line {reader.line_num} is not valid CSV: {error}") from None
    return Table(data.path, header, rows, lines)


def _check_header(data: CsvData, header: tuple[str, ...]) -> None:
    if not header:
        raise DataError(f"{data.path} is empty; its first line must name the columns")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"{data.path} has more than one column '{twice[0]}'; rename one")


def read_csv(data: CsvData, task: TabularTask | TextTask, tokenizer: Path | None = None) -> Records:
    """All rows as records; ``tokenizer`` is the configuration's ``tokenizer_path``, for texts.

    Errors as in :func:`shared.data.table.to_records` and :func:`shared.data.text.read_texts`.
    """
    return _records(read_table(data), data, task, tokenizer)


def read_csv_sites(data: CsvData, task: TabularTask | TextTask, site_column: str, tokenizer: Path | None = None) -> dict[str, Records]:
    """The rows of each site, by its institution's name. Raises :class:`DataError` for a site that is missing or unclear."""
    table = read_table(data)
    sites = np.array(_row_sites(table, site_column, frozenset(data.missing)))
    records = _records(table, data, task, tokenizer, sites)
    return {str(name): records.take(np.flatnonzero(sites == name)) for name in np.unique(sites)}


def _records(
    table: Table, data: CsvData, task: TabularTask | TextTask, tokenizer: Path | None, sites: NDArray[np.str_] | None = None
) -> Records:
    missing = frozenset(data.missing)
    if task.family == "tabular":
        return to_records(table, task, missing, unlabelled=data.unlabelled, figures=linked_figures(table, data, task, sites))
    return read_texts(table, task, read_tokeniser(task, tokenizer), missing=missing, unlabelled=data.unlabelled)


def _row_sites(table: Table, column: str, missing: frozenset[str]) -> list[str]:
    names: dict[str, str] = {}
    texts: dict[str, str] = {}
    sites = []
    for line, text in table.cells(column):
        name = names.setdefault(text, "" if text in missing else institution_name(text))
        if not name:
            raise DataError(f"{table.place(line, column)} names no site; give each row's site a name of letters or digits")
        if texts.setdefault(name, text) != text:
            raise DataError(f"{table.place(line, column)}: two different sites would both be called '{name}'; rename one")
        sites.append(name)
    return sites
