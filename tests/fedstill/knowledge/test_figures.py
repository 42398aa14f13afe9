"""A site's file with the figures that the artifact takes."""

from __future__ import annotations

import csv
import json
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from fedstill.cli import main
from fedstill.knowledge.figures import write_figures
from shared.config import InstitutionConfig
from shared.data.csvfile import read_csv
from shared.errors import ConfigError
from shared.sources import ArrayData, CsvData
from shared.task import TabularTask

LINKS = {"source": "payer", "target": "payee", "time": "day", "amount": "sum", "windows": [3]}
TASK: dict[str, Any] = {
    "family": "tabular",
    "label": "state",
    "labels": ["ok", "bad"],
    "columns": [{"name": "sum"}, {"name": "source.total"}, {"name": "target.gap"}],
}
ROWS = "payer,payee,day,sum,state\nann,shop,1,10,ok\nann,shop,4,10,\n,shop,4,10,bad\n"


def institution(folder: Path) -> InstitutionConfig:
    (folder / "paid.csv").write_text(ROWS)
    data = {"source": "csv", "path": folder / "paid.csv", "unlabelled": True, "transactions": LINKS}
    return InstitutionConfig.model_validate({"name": "north", "task": TASK, "data": data})


def test_the_file_has_its_own_columns_and_the_figures_that_training_sees(tmp_path: Path) -> None:
    config, out = institution(tmp_path), tmp_path / "out.csv"
    found = write_figures(config, out)
    assert (found.rows, found.linked, found.figures) == (3, 2, ("source.total", "target.gap"))
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["payer"] for row in rows] == ["ann", "ann", ""]
    assert [row["source.total"] != "" for row in rows] == [True, True, False]
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    task = TabularTask.model_validate(TASK)
    again = CsvData(source="csv", path=out, unlabelled=True)
    assert isinstance(config.data, CsvData)
    np.testing.assert_array_equal(read_csv(again, task).inputs, read_csv(config.data, task).inputs)


def test_the_records_themselves_are_never_written_over(tmp_path: Path) -> None:
    config = institution(tmp_path)
    (tmp_path / "link.csv").symlink_to(tmp_path / "paid.csv")
    for name in ("paid.csv", "link.csv"):
        with pytest.raises(ConfigError, match="own file of records"):
            write_figures(config, tmp_path / name)
    assert (tmp_path / "paid.csv").read_text() == ROWS


def test_each_site_of_a_file_is_linked_by_itself(tmp_path: Path) -> None:
    config = institution(tmp_path)
    (tmp_path / "paid.csv").write_text("bank,payer,payee,day,sum,state\na,ann,shop,1,1,ok\nb,ann,shop,2,1,ok\n")
    assert isinstance(config.data, CsvData)
    both = config.model_copy(update={"data": config.data.model_copy(update={"site_column": "bank"})})
    write_figures(both, tmp_path / "out.csv")
    assert [line.rsplit(",", 2)[1] for line in (tmp_path / "out.csv").read_text().splitlines()[1:]] == ["0.0", "0.0"]


def test_records_that_are_no_linked_transactions_are_refused(tmp_path: Path) -> None:
    config = institution(tmp_path)
    for data in (ArrayData(source="arrays", path=tmp_path), CsvData(source="csv", path=tmp_path / "paid.csv")):
        with pytest.raises(ConfigError, match="no linked transactions"):
            write_figures(config.model_copy(update={"data": data}), tmp_path / "out.csv")


def test_the_command_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "institution.toml"
    path.write_text(tomli_w.dumps(institution(tmp_path).model_dump(mode="json", exclude_none=True)))
    for more, said in ([], "3 rows, 2 of them linked; figures: source.total, target.gap"), (["--json"], '"rows":3'):
        with pytest.raises(SystemExit) as caught:
            main(["knowledge", "figures", str(path), "--out", str(tmp_path / "out.csv"), *more])
        assert caught.value.code == 0
        out = capsys.readouterr().out
        assert said in out
    assert json.loads(out)["figures"] == ["source.total", "target.gap"]
