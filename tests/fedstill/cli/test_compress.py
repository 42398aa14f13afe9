from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from fedstill.cli import main
from fedstill.cli.compress import app
from shared.models import save_model
from tests.support.networks import network


def test_help_teaches():
    text = CliRunner().invoke(app, ["--help"], terminal_width=200).output
    for word in ("--device", "--max-drop", "--budget-ms", "--budget-mb", "--statistics", "Example:"):
        assert word in text


def failed(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["compress", *arguments])
    return ended.value.code, capsys.readouterr().err


def test_nothing_to_compress(tmp_path, capsys):
    code, said = failed([str(tmp_path / "nothing"), "--data", "heart"], capsys)
    assert code > 1
    assert "there is no student at" in said


def test_a_student_that_does_not_say_its_records(tmp_path, capsys):
    save_model(tmp_path / "student.safetensors", network())
    code, said = failed([str(tmp_path / "student.safetensors")], capsys)
    assert code > 1
    assert "give --data" in said


def test_a_device_that_nobody_knows(tmp_path, capsys):
    save_model(tmp_path / "student.safetensors", network())
    code, said = failed(
        [str(tmp_path / "student.safetensors"), "--data", "heart", "--device", "cortex-a27", "--out", str(tmp_path / "out")], capsys
    )
    assert code > 1
    assert "did you mean 'cortex-a72'" in said
    assert not (tmp_path / "out").exists()


def test_statistics_of_no_run(tmp_path, capsys):
    from tests.support.opened import make_coordinator

    code, said = failed([str(make_coordinator(tmp_path / "c")), "--statistics", "--out", str(tmp_path / "out"), "--json"], capsys)
    assert code > 1
    assert "has finished" in said
    with pytest.raises(json.JSONDecodeError):
        json.loads(said)
