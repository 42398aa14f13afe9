"""An institution's transactions linked by their ids, and by nobody else's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.config import FederationConfig, InstitutionConfig
from shared.data.csvfile import read_csv, read_csv_sites
from shared.data.load import load_site, load_sites
from shared.errors import ConfigError, DataError, KnowledgeError, MissingColumnError
from shared.sources import CsvData
from shared.task import TabularTask

HEAD = "bank,payer,payee,day,sum,state\n"
ROWS = """\
north,ann,shop,1,10,ok
north,bob,shop,2,20,ok
south,ann,shop,2,10,bad
north,ann,inn,3,10,bad
north,,shop,4,10,ok
north,ann,shop,9,10,ok
south,eve,shop,9,,ok
"""
LINKS: dict[str, Any] = {"source": "payer", "target": "payee", "time": "day", "amount": "sum", "windows": [3, 5]}
FIGURES = ("source.total", "target.in3", "source.same")


def task(*names: str) -> TabularTask:
    columns = [{"name": name} for name in ("sum", *names)]
    return TabularTask.model_validate({"family": "tabular", "label": "state", "labels": ["ok", "bad"], "columns": columns})


def data(folder: Path, rows: str = ROWS, **changed: Any) -> CsvData:
    (folder / "paid.csv").write_text(HEAD + rows)
    return CsvData.model_validate({"source": "csv", "path": folder / "paid.csv", "transactions": LINKS} | changed)


def counts(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else round(float(np.expm1(value)), 4) for value in values]


def test_figures_are_of_earlier_rows_of_the_same_ids(tmp_path: Path) -> None:
    found = read_csv(data(tmp_path), task(*FIGURES)).inputs
    assert counts(found[:, 1]) == [0, 0, 1, 2, None, 3, None], "what ann, bob, ann, ann, nobody, ann paid before"
    assert counts(found[:, 2]) == [0, 1, 2, 0, None, 0, None], "a window of 3 days before each, at each target"
    assert counts(found[:, 3]) == [0, 0, 1, 2, None, 0, None], "of the same amount within 5 days"
    assert found[:, 0].tolist()[:2] == [10.0, 20.0], "other columns are read as ever"


def test_each_site_links_its_own_rows_alone(tmp_path: Path) -> None:
    found = read_csv_sites(data(tmp_path), task(*FIGURES), "bank")
    assert counts(found["north"].inputs[:, 1]) == [0, 0, 1, None, 2]
    assert counts(found["south"].inputs[:, 1]) == [0, None], "the north's ann is another bank's client"
    alone = "".join(line + "\n" for line in ROWS.splitlines() if line.startswith("south"))
    np.testing.assert_array_equal(read_csv(data(tmp_path, alone), task(*FIGURES)).inputs, found["south"].inputs)


def test_no_later_row_changes_a_figure(tmp_path: Path) -> None:
    whole = read_csv(data(tmp_path), task(*FIGURES)).inputs
    fewer = read_csv(data(tmp_path, "".join(line + "\n" for line in ROWS.splitlines()[:4])), task(*FIGURES)).inputs
    np.testing.assert_array_equal(whole[:4], fewer)


def test_labels_are_never_read(tmp_path: Path) -> None:
    flipped = ROWS.replace(",ok", ",?").replace(",bad", ",ok").replace(",?", ",bad")
    np.testing.assert_array_equal(read_csv(data(tmp_path), task(*FIGURES)).inputs, read_csv(data(tmp_path, flipped), task(*FIGURES)).inputs)


def test_dates_are_seconds_and_a_file_whose_rows_link_to_nothing_has_no_figure(tmp_path: Path) -> None:
    dated = "north,ann,shop,2024-05-01,1,ok\nnorth,ann,shop,2024-05-02,1,ok\n"
    day = LINKS | {"windows": [86_400]}
    assert counts(read_csv(data(tmp_path, dated, transactions=day), task("source.in86400")).inputs[:, 1]) == [0, 1]
    assert counts(read_csv(data(tmp_path, "north,,shop,1,1,ok\n"), task("source.total")).inputs[:, 1]) == [None]


def test_what_the_file_has_is_read_and_not_computed(tmp_path: Path) -> None:
    (tmp_path / "paid.csv").write_text("payer,payee,day,sum,state,source.total\nann,shop,1,1,ok,77\n")
    made = CsvData.model_validate({"source": "csv", "path": tmp_path / "paid.csv", "transactions": LINKS})
    assert read_csv(made, task("source.total", "target.total")).inputs.tolist() == [[1.0, 77.0, 0.0]]


@pytest.mark.parametrize(
    ("rows", "changed", "names", "kind", "said"),
    [
        (ROWS, {}, (), ConfigError, "no column that it gives; add numeric columns such as source.total or target.in3"),
        (ROWS, {}, ("source.in99",), KnowledgeError, "no figure 'source.in99'"),
        (ROWS, {"kind": "state"}, FIGURES, ConfigError, "links rows by 'state', which is the label"),
        (ROWS, {"source": "who"}, FIGURES, MissingColumnError, "no column 'who'"),
        ("north,ann,shop,noon,1,ok\n", {}, FIGURES, KnowledgeError, "line 2, column 'day' is neither a whole number nor a date"),
        ("north,ann,shop,1,-1,ok\n", {}, FIGURES, DataError, "line 2, column 'sum' is no amount"),
        ("north,ann,shop,1,inf,ok\n", {}, FIGURES, DataError, "line 2, column 'sum' is no amount"),
        (ROWS, {"windows": [5, 3]}, FIGURES, KnowledgeError, "windows must be whole numbers that rise"),
    ],
)
def test_what_cannot_be_linked_is_said(
    tmp_path: Path, rows: str, changed: dict[str, Any], names: tuple[str, ...], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        read_csv(data(tmp_path, rows, transactions=LINKS | changed), task(*names))


def test_a_deployed_institution_and_a_simulation_link_alike(tmp_path: Path) -> None:
    many = "".join(
        f"{bank},p{number % 3},shop,{number},10,{'bad' if number % 4 else 'ok'}\n" for bank in ("north", "south") for number in range(12)
    )
    source = data(tmp_path, many, site_column="bank")
    federation = FederationConfig.model_validate({"name": "banks", "task": task(*FIGURES), "data": source})
    sites = load_sites(federation)
    own = load_site(InstitutionConfig.model_validate({"name": "north", "task": task(*FIGURES), "data": source}))
    np.testing.assert_array_equal(own.train.inputs, sites["north"].train.inputs)
    seen = np.expm1(np.sort(np.concatenate([own.train.inputs, own.test.inputs])[:, 1]))
    np.testing.assert_allclose(seen, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3], atol=1e-5)
    with pytest.raises(ConfigError, match="no institution could link those of others"):
        load_sites(FederationConfig.model_validate(federation.model_dump() | {"data": data(tmp_path, many), "split": {"sites": 2}}))
