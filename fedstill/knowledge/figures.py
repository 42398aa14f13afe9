"""An institution's transactions with the figures that its student takes: what a site hands to the artifact."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from shared.config import InstitutionConfig
from shared.data.csvfile import read_table
from shared.data.ledger import linked_figures
from shared.errors import ConfigError
from shared.files import PRIVATE_MODE, write_atomic
from shared.frozen import Frozen
from shared.sources import CsvData
from shared.task import TabularTask


class FiguresSummary(Frozen):
    """``rows`` were written to ``out``, with the columns ``figures`` behind their own; ``linked`` of them have any figure."""

    out: Path
    rows: int
    linked: int
    figures: tuple[str, ...]


def write_figures(config: InstitutionConfig, out: Path) -> FiguresSummary:
    """Writes the institution's CSV file with the figures that the task asks for; one that cannot be told is an empty cell. Labels are kept
    where there are any, and not needed.

    Raises :class:`ConfigError` for records that are no linked transactions, and as :func:`linked_figures`; :class:`ResourceError`.
    """
    data, task = config.data, config.task
    if not isinstance(data, CsvData) or data.transactions is None or not isinstance(task, TabularTask):
        raise ConfigError('the institution\'s records are no linked transactions; its [data] needs source = "csv" and [data.transactions]')
    if out.absolute() == data.path.absolute() or (out.exists() and out.samefile(data.path)):
        raise ConfigError(f"{out} is the institution's own file of records; name another to write the figures to")
    blank = "" if "" in data.missing else next(iter(data.missing), "")
    table = read_table(data)
    sites = None if data.site_column is None else np.array([text for _, text in table.cells(data.site_column)], dtype=np.str_)
    found = linked_figures(table, data, task, sites)
    values = np.column_stack(list(found.values()))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*table.header, *found])
    for row, own in zip(table.rows, values.tolist(), strict=True):
        writer.writerow([*row, *(blank if value != value else repr(value) for value in own)])
    # Whom an institution's clients pay is nobody else's to read.
    write_atomic(out, text.getvalue().encode(), mode=PRIVATE_MODE)
    return FiguresSummary(out=out, rows=len(values), linked=int((~np.isnan(values)).any(axis=1).sum()), figures=tuple(found))
