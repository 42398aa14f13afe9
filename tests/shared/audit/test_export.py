from __future__ import annotations

import csv
import io
import json

from shared.audit.chain import BEFORE_THE_FIRST, Entry
from shared.audit.export import COLUMNS, as_csv, as_json

ENTRIES = (
    Entry(1, "t1", "coordinator", "roster", {"members": {"ash": "ab"}}, BEFORE_THE_FIRST, "s1"),
    Entry(2, "t2", "coordinator", "round", {"run": '=cmd|" /c calc"', "round": 3, "reason": "a, b\nc"}, "p", "s2"),
)


def test_json_has_everything() -> None:
    assert [Entry(**table) for table in json.loads(as_json(ENTRIES))] == list(ENTRIES)
    assert json.loads(as_json(())) == []


def test_csv_has_a_row_an_entry_and_no_formula() -> None:
    header, first, second = csv.reader(io.StringIO(as_csv(ENTRIES)))
    assert header == list(COLUMNS)
    row = dict(zip(header, second, strict=True))
    assert (row["n"], row["kind"], row["round"], row["run"]) == ("2", "round", "3", '\'=cmd|" /c calc"')
    assert json.loads(row["fields"]) == {"reason": "a, b\nc"}
    assert json.loads(dict(zip(header, first, strict=True))["fields"]) == {"members": {"ash": "ab"}}


def test_csv_holds_nothing_that_moves_a_cursor_or_cannot_be_written() -> None:
    fields = {"run": "\x1b[2J\ud800", "round": ["=1"], "stage": " =1", "epoch": True, "reason": "\x1b[2J\ud800"}
    (line,) = as_csv([Entry(1, "t\r", "\x1b]0;a\x07", "=k", fields, "p", "s")]).splitlines()[1:]
    assert line.isprintable()
    row = dict(zip(COLUMNS, next(csv.reader([line])), strict=True))
    assert (row["kind"], row["stage"], row["round"], row["epoch"]) == ("'=k", "' =1", '["=1"]', "true")
    assert json.loads(row["fields"]) == {"reason": fields["reason"]}
