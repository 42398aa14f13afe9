from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shared.data.csvfile import read_csv, read_csv_sites, read_table
from shared.data.records import UNLABELLED
from shared.errors import DataError, LabelError, MissingColumnError, MissingFileError
from shared.sources import CsvData
from shared.task import NumericColumn, TabularTask

TASK = TabularTask(family="tabular", label="y", labels=("0", "1"), columns=(NumericColumn(name="a"),))


def source(tmp_path: Path, content: str | bytes) -> CsvData:
    path = tmp_path / "records.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return CsvData(source="csv", path=path)


def test_a_file_as_spreadsheets_write_it_is_read(tmp_path: Path) -> None:
    data = source(tmp_path, '\ufeffa, y ,"no\nte"\r\n1,0,"x, ""y""\r\nz"\r\n\r\n2,1,\r\n')
    assert read_table(data).header == ("a", "y", "no\nte")
    records = read_csv(data, TASK)
    np.testing.assert_array_equal(records.inputs[:, 0], [1, 2])
    np.testing.assert_array_equal(records.labels, [0, 1])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is empty"),
        ("a,a\n1,2\n", "more than one column 'a'"),
        ("a,y\n1,0\n1\n", "line 3 has 1 fields; the header has 2"),
        ("a,y\n1,0,9\n", "line 2 has 3 fields"),
        ('a,y\n"1,0\n', "not valid CSV"),
        (b"a,y\n\xff,0\n", "not UTF-8 text"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: str | bytes, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read_csv(source(tmp_path, content), TASK)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"gone.csv"):
        read_table(CsvData(source="csv", path=tmp_path / "gone.csv"))


def test_rows_are_taken_apart_by_site(tmp_path: Path) -> None:
    sites = read_csv_sites(source(tmp_path, "h,a,y\nVA Long Beach,1,0\nBudapest,2,1\nVA Long Beach,3,1\n"), TASK, "h")
    assert {name: part.inputs[:, 0].tolist() for name, part in sites.items()} == {"budapest": [2.0], "va-long-beach": [1.0, 3.0]}


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [(",1,0\n", "line 2, column 'h' names no site"), ("…,1,0\n", "names no site"), ("A b,1,0\nA-B,1,0\n", "line 3.*both be called 'a-b'")],
)
def test_a_row_whose_site_is_unclear_is_refused(tmp_path: Path, rows: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read_csv_sites(source(tmp_path, "h,a,y\n" + rows), TASK, "h")


def test_a_site_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingColumnError, match="'hospital'"):
        read_csv_sites(source(tmp_path, "h,a,y\nx,1,0\n"), TASK, "hospital")


def test_a_row_without_a_label_needs_leave(tmp_path: Path) -> None:
    data = source(tmp_path, "a,y\n1,0\n2,?\n3,\n4,1\n")
    with pytest.raises(LabelError, match=r"line 3, column 'y'"):
        read_csv(data, TASK)
    records = read_csv(data.model_copy(update={"unlabelled": True}), TASK)
    np.testing.assert_array_equal(records.labels, [0, UNLABELLED, UNLABELLED, 1])


def test_a_label_that_is_spelt_as_a_missing_value_is_a_label(tmp_path: Path) -> None:
    data = source(tmp_path, "a,y\n1,NA\n2,0\n").model_copy(update={"unlabelled": True})
    np.testing.assert_array_equal(read_csv(data, TASK.model_copy(update={"labels": ("0", "NA")})).labels, [1, 0])
