"""Transactions from a file: the same graph as from columns, every bad row shown with its line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from shared.errors import KnowledgeError, MissingColumnError, MissingFileError
from shared.knowledge.transaction_file import LONGEST, TransactionNames, read_transactions
from shared.knowledge.transactions import TransactionColumns, transaction_graph

NAMES = TransactionNames("from", "to", "day", location="place", kind="type", window="10")
ROWS = [("1", "a", "b", "X", "t1"), ("3", "a", "b", "X", "t1"), ("4", "b", "c", "", "t2"), ("12", "a", "b", "Y", "t1")]


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("day,from,to,place,type,fraud\n" + "".join(f"{line}\n" for line in lines))
    return path


def test_a_file_gives_the_graph_of_its_columns_with_or_without_labels(tmp_path: Path) -> None:
    table = dict(zip(("day", "from", "to", "place", "type"), map(list, zip(*ROWS, strict=True)), strict=True))
    expected = transaction_graph(
        TransactionColumns(source="from", target="to", location="place", kind="type", time="day", window=10), table
    )
    labelled = write(tmp_path / "a.csv", [",".join((*row, "yes")) for row in ROWS])
    unlabelled = write(tmp_path / "b.csv", [",".join((*row, "")) for row in ROWS])
    (tmp_path / "c.tsv.gz").write_bytes(gzip.compress(labelled.read_text().replace(",", "\t").encode()))
    for path in (labelled, unlabelled, tmp_path / "c.tsv.gz"):
        found = read_transactions(path, NAMES)
        assert found.found.graph == expected.graph
        assert (found.rows, found.bad, found.window, found.dated) == (4, 0, 10, False)
        assert found.found.entities.tolist() == expected.entities.tolist()


def test_bad_rows_are_shown_with_their_line_and_keep_their_place(tmp_path: Path) -> None:
    bad = [
        "x,a,b,,,",
        ",a,b,,,",
        "5,,b,,,",
        "5,a,,,,",
        f"5,{'n' * (LONGEST + 1)},b,,,",
        "5,a\x07,b,,,",
        "5",
        "2024-01-01,a,b,,,",
        f"{'9' * 30},a,b,,,",
    ]
    path = write(tmp_path / "a.csv", ['1,"a",b,"two ""lines""",,', *bad, "2,a,b,,,"])
    found = read_transactions(path, NAMES)
    assert (found.rows, found.bad) == (11, 9)
    assert [row.line for row in found.shown] == list(range(3, 12))
    assert [row.reason.split("'")[1] for row in found.shown] == ["day", "day", "from", "to", "from", "from", "from", "day", "day"]
    assert (found.found.entities[1:10] == -1).all()
    assert (found.found.entities[[0, 10], :2] >= 0).all()
    assert len(read_transactions(path, NAMES, shown=2).shown) == 2


def test_lines_are_counted_where_a_cell_has_several(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ['1,a,b,,,"one\ntwo\nthree"', "x,a,b,,,"])
    assert [row.line for row in read_transactions(path, NAMES).shown] == [5]


def test_dates_are_seconds_and_a_window_has_units(tmp_path: Path) -> None:
    lines = ["2024-01-01,a,b,,,", "2024-01-01T23:00:00,a,b,,,", "2024-01-02T00:00:00Z,a,b,,,"]
    path = write(tmp_path / "a.csv", lines)
    daily = read_transactions(path, TransactionNames("from", "to", "day"))
    assert (daily.dated, daily.window) == (True, 86_400)
    assert daily.found.graph.weights.tolist() == [2.0, 1.0]
    weekly = read_transactions(path, TransactionNames("from", "to", "day", window="1w"))
    assert weekly.found.graph.weights.tolist() == [3.0]


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ["1,a,b,,,"])
    with pytest.raises(MissingColumnError, match="no column 'form'; did you mean 'from'"):
        read_transactions(path, TransactionNames("form", "to", "day"))
    with pytest.raises(KnowledgeError, match="is no length"):
        read_transactions(path, TransactionNames("from", "to", "day", window="long"))
    with pytest.raises(KnowledgeError, match="line 3 is no row of a table"):
        read_transactions(write(path, ["1,a,b,,,", '1,"a,b,,,']), NAMES)
    with pytest.raises(KnowledgeError, match="no row has 'from'"):
        read_transactions(write(path, ["x,a,b,,,"]), NAMES)
    with pytest.raises(KnowledgeError, match=r"neither \.csv nor \.tsv"):
        read_transactions(tmp_path / "a.parquet", NAMES)
    with pytest.raises(MissingFileError, match="transactions"):
        read_transactions(tmp_path / "none.csv", NAMES)
