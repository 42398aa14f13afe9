"""Built-in heart disease records of four hospitals (UCI Heart Disease 1989, CC BY 4.0; see heart.LICENSE.md)."""

from __future__ import annotations

from pathlib import Path

from shared.data.csvfile import read_csv_sites
from shared.data.records import Records
from shared.sources import CsvData
from shared.task import CategoricalColumn, NumericColumn, TabularTask

FILE = Path(__file__).with_name("heart.csv")
SITE_COLUMN = "hospital"


def _category(name: str, *categories: str) -> CategoricalColumn:
    return CategoricalColumn(kind="categorical", name=name, categories=categories)


TASK = TabularTask(
    family="tabular",
    label="disease",
    labels=("no", "yes"),
    columns=(
        NumericColumn(name="age"),
        _category("sex", "female", "male"),
        _category("cp", "typical angina", "atypical angina", "non-anginal", "asymptomatic"),
        NumericColumn(name="trestbps"),
        NumericColumn(name="chol"),
        _category("fbs", "no", "yes"),
        _category("restecg", "normal", "st-t abnormality", "lv hypertrophy"),
        NumericColumn(name="thalach"),
        _category("exang", "no", "yes"),
        NumericColumn(name="oldpeak"),
        _category("slope", "upsloping", "flat", "downsloping"),
        NumericColumn(name="ca"),
        _category("thal", "normal", "fixed defect", "reversible defect"),
    ),
)


def read_heart(task: TabularTask = TASK) -> dict[str, Records]:
    """The records of the four hospitals; ``task`` may leave columns out. Raises as :func:`read_csv_sites`."""
    return read_csv_sites(CsvData(source="csv", path=FILE, site_column=SITE_COLUMN), task, SITE_COLUMN)
