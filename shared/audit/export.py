"""An audit for other programs: JSON with everything, CSV with a row an entry."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from shared.audit.chain import Entry

COLUMNS = ("n", "time", "side", "kind", "run", "epoch", "round", "stage", "bytes_down", "bytes_up", "fields", "previous", "signature")
"""Of the CSV; ``fields`` is JSON with all that the other columns do not have."""
_LIFTED = ("run", "epoch", "round", "stage", "bytes_down", "bytes_up")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_json(entries: Iterable[Entry]) -> str:
    """One JSON array, an object an entry."""
    return json.dumps([vars(entry) for entry in entries], indent=1) + "\n"


def as_csv(entries: Iterable[Entry]) -> str:
    """RFC 4180 with a header. A text that a spreadsheet would take for a formula has an apostrophe before it."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    writer.writerows(_row(entry) for entry in entries)
    return out.getvalue()


def _row(entry: Entry) -> Iterator[Any]:
    rest = {key: value for key, value in entry.fields.items() if key not in _LIFTED}
    table = {**vars(entry), **{key: entry.fields.get(key, "") for key in _LIFTED}, "fields": json.dumps(rest, sort_keys=True)}
    for column in COLUMNS:
        value = table[column]
        yield f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
