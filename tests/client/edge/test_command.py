"""The edge's own command line: results on stdout, one sentence and the error's code for what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from client.edge import command
from client.edge.installed import read_installed
from tests.support.edge import PUBLIC, make_artifact


def test_install_and_rollback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = str(tmp_path / "home")
    command.main(["install", str(make_artifact(tmp_path / "1", 1)), "--to", home, "--key", PUBLIC.hex()])
    assert capsys.readouterr().out.startswith("version 1 (")
    command.main(["install", str(make_artifact(tmp_path / "2", 2)), "--to", home])
    assert "before it: version 1, kept for a roll-back" in capsys.readouterr().out
    command.main(["rollback", home, "--json"])
    assert json.loads(capsys.readouterr().out)["current"]["version"] == 1
    assert read_installed(tmp_path / "home").floor.version == 2


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["serve", "nothing"], 10, "give --key"),
        (["serve", "nothing", "--key", PUBLIC.hex()], 21, "no artifact"),
        (["serve", "nothing", "--tls-key", "k"], 10, "belong together"),
        (["serve", "nothing", "--key", "zz"], 70, "neither 64 hex digits"),
        (["rollback", "home"], 21, "nothing is installed"),
        (["install", "nothing", "--to", "home"], 10, "needs --key"),
    ],
)
def test_refusals_are_one_sentence_and_a_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == code
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n"), reason in said.err) == ("", 1, True)
