from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shared.data.table import Table, to_number, to_records
from shared.errors import DataError, LabelError, MissingColumnError, NotFiniteError
from shared.task import CategoricalColumn, NumericColumn, TabularTask

TASK = TabularTask(
    family="tabular",
    label="y",
    labels=("no", "yes"),
    columns=(NumericColumn(name="age"), CategoricalColumn(kind="categorical", name="sex", categories=("f", "m"))),
)
MISSING = frozenset({"", "?"})


def table(*rows: tuple[str, str, str], header: tuple[str, ...] = ("sex", "y", "age")) -> Table:
    return Table(Path("people.csv"), header, rows, range(2, 2 + len(rows)))


def test_rows_become_numbers_in_the_order_of_the_task() -> None:
    records = to_records(table(("m", "yes", " 41.5 "), ("?", "no", ""), ("f", "no", "-1e3")), TASK, MISSING)
    np.testing.assert_array_equal(records.inputs, np.array([[41.5, 1], [np.nan, np.nan], [-1000, 0]], dtype=np.float32))
    np.testing.assert_array_equal(records.labels, [1, 0, 0])
    assert records.inputs.dtype == np.float32
    assert records.labels.dtype == np.int64


@pytest.mark.parametrize(
    ("row", "error", "column"),
    [
        (("m", "yes", "secret"), DataError, "age"),
        (("m", "yes", "1_0"), DataError, "age"),
        (("m", "yes", "inf"), NotFiniteError, "age"),
        (("m", "yes", "nan"), NotFiniteError, "age"),
        (("m", "yes", "1e39"), NotFiniteError, "age"),
        (("secret", "yes", "1"), DataError, "sex"),
        (("m", "secret", "1"), LabelError, "y"),
        (("m", "", "1"), LabelError, "y"),
    ],
)
def test_a_bad_cell_is_named_by_its_place_and_never_by_its_content(row: tuple[str, str, str], error: type[DataError], column: str) -> None:
    with pytest.raises(error, match=rf"people.csv, line 3, column '{column}'") as caught:
        to_records(table(("m", "yes", "1"), row), TASK, MISSING)
    assert type(caught.value) is error
    assert "secret" not in str(caught.value)


def test_nan_is_missing_where_it_is_listed() -> None:
    assert np.isnan(to_records(table(("m", "no", "nan")), TASK, frozenset({"nan"})).inputs[0, 0])


def test_a_declared_category_is_not_missing_even_if_it_is_spelled_like_it() -> None:
    task = TASK.model_copy(update={"columns": (CategoricalColumn(kind="categorical", name="sex", categories=("?", "m")),)})
    assert to_records(table(("?", "no", "1")), task, MISSING).inputs[0, 0] == 0


def test_a_column_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(MissingColumnError, match=r"no column 'age'; its columns are: sex, y, years"):
        to_records(table(header=("sex", "y", "years")), TASK, MISSING)


@pytest.mark.parametrize(
    ("text", "number"), [("1", 1.0), ("-2.5e1", -25.0), (".5", 0.5), ("inf", float("inf")), ("1_0", None), ("x", None), ("", None)]
)
def test_numbers_are_plain_or_exponent_notation(text: str, number: float | None) -> None:
    assert to_number(text) == number
