"""``fedstill check`` tells the two kinds of file apart, says what they hold, and runs nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from fedstill.cli import main
from fedstill.cli.check import read_config
from shared.config import FederationConfig, InstitutionConfig
from shared.data import Records, Split, save_arrays
from shared.errors import ConfigError, MissingFileError
from tests.support.headed import TASK
from tests.support.small import federation_table


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["check", *arguments])
    captured = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return caught.value.code, captured.out, captured.err


def written(path: Path, table: dict[str, Any]) -> Path:
    path.write_text(tomli_w.dumps(table))
    return path


def institution(**changed: Any) -> dict[str, Any]:
    federation = federation_table(2)
    return {"name": "ash", "task": federation["task"], "data": {"source": "arrays", "path": "records.npz"}, **changed}


@pytest.mark.parametrize(
    ("name", "table", "kind"),
    [
        ("federation.toml", federation_table(2), FederationConfig),
        ("institution.toml", institution(), InstitutionConfig),
        ("anything.toml", institution(policy={"smallest_cohort": 5}), InstitutionConfig),
        ("anything.toml", institution(threads=2), InstitutionConfig),
        ("anything.toml", federation_table(2), FederationConfig),
    ],
)
def test_the_kind_is_known_by_name_or_keys(tmp_path: Path, name: str, table: dict[str, Any], kind: type) -> None:
    assert type(read_config(written(tmp_path / name, table))) is kind


def test_what_is_no_toml_or_not_there_is_said(tmp_path: Path) -> None:
    for content in (b"name = ", b"\xff"):
        (tmp_path / "federation.toml").write_bytes(content)
        with pytest.raises(ConfigError, match="is not valid TOML"):
            read_config(tmp_path / "federation.toml")
    with pytest.raises(MissingFileError, match=r"gone\.toml"):
        read_config(tmp_path / "gone.toml")


def test_an_institution_s_records_are_counted_or_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(written(tmp_path / "institution.toml", institution()))
    assert run([path], capsys)[0] == 21
    code, out, _ = run([path, "--no-records", "--json"], capsys)
    assert (code, json.loads(out)) == (0, {"file": path, "kind": "InstitutionConfig", "records": {}})
    values = np.arange(20, dtype=np.float32).reshape(10, 2)
    labels = np.arange(10, dtype=np.int64) % 2
    save_arrays(tmp_path / "records.npz", Split(Records(values, labels), Records(values[:3], labels[:3])))
    assert json.loads(run([path, "--json"], capsys)[1])["records"] == {"ash": [10, 3]}
    assert "ash: 10 records to learn from, 3 held out" in run([path], capsys)[1]


def test_the_promise_of_privacy_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "federation.toml", {**federation_table(2), "privacy": {"epsilon": 8.0}})
    code, out, _ = run([str(path)], capsys)
    assert code == 0
    assert "the updates of 2 rounds cost each institution at most ε = 8 at δ = 1e-05" in out


def test_heads_without_owners_are_told_before_a_run_is_begun(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, said = run([str(written(tmp_path / "federation.toml", federation_table(2, task=TASK)))], capsys)
    assert code != 0
    assert "head_owners does not say" in said


def test_a_device_s_profile_is_read_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = {**federation_table(2), "compression": {"device": "gateway.toml"}}
    path = str(written(tmp_path / "federation.toml", table))
    code, _, err = run([path, "--no-records"], capsys)
    assert code == 21
    assert "device profile" in err
    (tmp_path / "gateway.toml").write_text("format = 1\n")
    code, _, err = run([path, "--no-records"], capsys)
    assert code == 10
    assert "gateway.toml: 'name': Field required" in err
