"""An audit for other programs: JSON with everything, CSV with a row an entry."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from shared.audit.chain import Entry
from shared.printable import one_line

COLUMNS = ("n", "time", "side", "kind", "run", "epoch", "round", "stage", "bytes_down", "bytes_up", "fields", "previous", "signature")
"""Of the CSV; ``fields`` is JSON with all that the other columns do not have."""
_LIFTED = ("run", "epoch", "round", "stage", "bytes_down", "bytes_up")
_FORMULA = ("=", "+", "-", "@")


def as_json(entries: Iterable[Entry]) -> str:
    """One JSON array, an object an entry."""
    return json.dumps([vars(entry) for entry in entries], indent=1) + "\n"


def as_csv(entries: Iterable[Entry]) -> str:
    """RFC 4180 with a header. A text that a spreadsheet would take for a formula has an apostrophe before it.

    What is not printable is replaced in the columns of their own, and escaped in ``fields``.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    writer.writerows(_row(entry) for entry in entries)
    return out.getvalue()


def _row(entry: Entry) -> Iterator[str | int | float]:
    rest = {key: value for key, value in entry.fields.items() if key not in _LIFTED}
    row = {**vars(entry), **{key: entry.fields.get(key, "") for key in _LIFTED}, "fields": rest}
    return (_cell(row[column]) for column in COLUMNS)


def _cell(value: Any) -> str | int | float:
    if isinstance(value, str):
        shown = one_line(value)
        return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown
    return value if type(value) in (int, float) else json.dumps(value, sort_keys=True)
