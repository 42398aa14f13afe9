from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shared.data.heart import FILE, TASK, read_heart
from shared.task import TabularTask

SIZES = {"cleveland": 303, "hungary": 294, "switzerland": 123, "va-long-beach": 200}
RAW = {"cleveland": "cleveland", "hungary": "hungarian", "switzerland": "switzerland", "va-long-beach": "va"}


def _code(*words: str, first: int = 1) -> Callable[[str], str]:
    # UCI's files write a category as its number; a column may skip one (thal: 3, 6, 7).
    return lambda text: words[round(float(text)) - first]


def _thal(text: str) -> str:
    return {3: "normal", 6: "fixed defect", 7: "reversible defect"}[round(float(text))]


def _number(text: str) -> str:
    return f"{float(text):g}"


def _measured(text: str) -> str:
    return "" if float(text) == 0 else _number(text)


# The 14 columns of UCI's processed files, in order, as our words.
UCI: dict[str, Callable[[str], str]] = {
    "age": _number,
    "sex": _code("female", "male", first=0),
    "cp": _code("typical angina", "atypical angina", "non-anginal", "asymptomatic"),
    "trestbps": _measured,
    "chol": _measured,
    "fbs": _code("no", "yes", first=0),
    "restecg": _code("normal", "st-t abnormality", "lv hypertrophy", first=0),
    "thalach": _number,
    "exang": _code("no", "yes", first=0),
    "oldpeak": _number,
    "slope": _code("upsloping", "flat", "downsloping"),
    "ca": _number,
    "thal": _thal,
    "disease": lambda text: "yes" if float(text) > 0 else "no",
}


def test_four_hospitals_with_the_published_numbers_of_patients() -> None:
    sites = read_heart()
    assert {name: len(part) for name, part in sites.items()} == SIZES
    assert sum(int(part.labels.sum()) for part in sites.values()) == 509


def test_what_was_not_measured_is_missing_and_nothing_else_is_odd() -> None:
    columns = [column.name for column in TASK.columns]
    sites = read_heart()
    cholesterol = {name: part.inputs[:, columns.index("chol")] for name, part in sites.items()}
    assert np.isnan(cholesterol["switzerland"]).all()
    assert not np.isnan(cholesterol["cleveland"]).any()
    inputs = np.concatenate([part.inputs for part in sites.values()])
    for position in TASK.numeric:
        assert np.nanmin(inputs[:, position]) >= (-2.6 if columns[position] == "oldpeak" else 0) - 1e-6
    assert np.nanmin(inputs[:, columns.index("trestbps")]) > 0


def test_a_task_may_leave_columns_out() -> None:
    task = TabularTask(family="tabular", label="disease", labels=("no", "yes"), columns=(TASK.columns[0],))
    assert read_heart(task)["cleveland"].inputs.shape == (303, 1)


def test_the_licence_lies_beside_the_records() -> None:
    text = FILE.with_name("heart.LICENSE.md").read_text()
    assert "CC BY 4.0" in text
    assert "Janosi" in text


@pytest.mark.skipif(
    "FEDSTILL_BENCH_DATA" not in os.environ, reason="FEDSTILL_BENCH_DATA is not set: heart.csv is NOT compared with UCI's files"
)
@pytest.mark.parametrize("hospital", sorted(SIZES))
def test_every_row_is_the_one_in_the_files_of_uci(hospital: str) -> None:
    raw = Path(os.environ["FEDSTILL_BENCH_DATA"]) / "heart_raw" / f"processed.{RAW[hospital]}.data"
    lines = [line.split(",")[:14] for line in raw.read_text().split() if line[0].isdigit()]
    expected = [{n: "" if t == "?" else read(t) for (n, read), t in zip(UCI.items(), line, strict=True)} for line in lines]
    with FILE.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["hospital"] == hospital]
    found = [{name: _number(row[name]) if row[name][:1].lstrip("-").isdigit() else row[name] for name in UCI} for row in rows]
    assert len(found) == len(expected) == SIZES[hospital]
    for number, (ours, theirs) in enumerate(zip(found, expected, strict=True), start=1):
        assert ours == theirs, f"patient {number} of {hospital}"
