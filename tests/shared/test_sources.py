from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from shared.sources import ArrayData, BuiltinData, CsvData, DataSource, ImageFolderData, SplitSettings

SOURCES: TypeAdapter[DataSource] = TypeAdapter(DataSource)


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ({"source": "heart"}, BuiltinData),
        ({"source": "csv", "path": "a.csv"}, CsvData),
        ({"source": "images", "path": "a"}, ImageFolderData),
        ({"source": "arrays", "path": "a.npz"}, ArrayData),
    ],
)
def test_the_source_says_what_it_is(table: dict[str, str], kind: type) -> None:
    found = SOURCES.validate_python(table)
    assert type(found) is kind
    assert SOURCES.validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("table", [{"source": "ftp", "path": "a"}, {"path": "a.csv"}, {"source": "heart", "path": "a"}, {"source": "csv"}])
def test_what_is_no_source_is_refused(table: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        SOURCES.validate_python(table)


@pytest.mark.parametrize("changes", [{"test_fraction": 0.0}, {"test_fraction": 1.0}, {"sites": 1}, {"alpha": 0.0}])
def test_a_split_that_leaves_nothing_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        SplitSettings.model_validate(changes)


def test_missing_values_have_their_usual_names() -> None:
    assert {"", "NA", "?"} <= set(CsvData(source="csv", path=Path("a.csv")).missing)
