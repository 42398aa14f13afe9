"""From nothing to a federation that could run, by the commands that operators type."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tomli_w

from fedstill.cli import main
from server.console.access import Access
from shared.identity import fingerprint, load_roster
from tests.support.small import federation_table


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return caught.value.code, captured.out, captured.err


def written(path: Path, table: dict[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tomli_w.dumps(table))
    return path


def institution_table(name: str) -> dict[str, object]:
    federation = federation_table(2)
    data = {"source": "arrays", "path": "records.npz"}
    return {"name": name, "task": federation["task"], "student": federation["student"], "data": data}


def test_operators_set_up_a_federation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "coordinator"
    config = written(tmp_path / "federation.toml", federation_table(2))
    code, out, _ = run(capsys, "coordinator", "init", home, "--config", config, "--host", "fl.example.org", "--json")
    assert code == 0
    ca = json.loads(out)["ca"]
    enrolments = []
    for name in ("va", "cl", "hu"):
        site = written(tmp_path / f"{name}.toml", institution_table(name))
        code, out, _ = run(capsys, "client", "init", tmp_path / name, "--config", site, "--json")
        assert (code, json.loads(out)["name"]) == (0, name)
        enrolments.append(json.loads(out)["enrolment"])
    code, out, _ = run(capsys, "coordinator", "enrol", home, *enrolments, "--json")
    assert (code, json.loads(out)["members"]) == (0, ["cl", "hu", "va"])
    digest = load_roster(home / "roster.json").digest
    for name in ("va", "cl", "hu"):
        code, out, _ = run(capsys, "client", "pin", tmp_path / name, home / "roster.json", "--ca", ca, "--address", "fl.example.org:8443")
        assert code == 0
        assert fingerprint(digest) in out
    code, out, _ = run(capsys, "coordinator", "renew", home, "--host", "new.example.org", "--json")
    assert (code, json.loads(out)["hosts"][0]) == (0, "new.example.org")


def test_a_second_init_keeps_the_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = written(tmp_path / "federation.toml", federation_table(2))
    words = ("coordinator", "init", tmp_path / "c", "--config", config, "--host", "localhost")
    assert run(capsys, *words)[0] == 0
    before = (tmp_path / "c" / "keys" / "identity.key").read_bytes()
    code, _, err = run(capsys, *words)
    assert (code, before) == (40, (tmp_path / "c" / "keys" / "identity.key").read_bytes())
    assert "already" in err


@pytest.mark.parametrize("side", ["coordinator", "client"])
def test_a_service_that_does_not_run_is_said_with_its_own_code(tmp_path: Path, capsys: pytest.CaptureFixture[str], side: str) -> None:
    code, out, err = run(capsys, side, "status", tmp_path)
    assert (code, out) == (80, "")
    assert "start it" in err


def test_a_wrong_address_is_a_wrong_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = written(tmp_path / "va.toml", institution_table("va"))
    run(capsys, "client", "init", tmp_path / "va", "--config", site)
    code, _, err = run(capsys, "client", "pin", tmp_path / "va", tmp_path / "roster.json", "--address", "https://x")
    assert code == 10
    assert "--address" in err


@pytest.mark.parametrize(
    "words",
    [("coordinator", name) for name in ("init", "enrol", "renew", "run", "console", "status")]
    + [("client", name) for name in ("init", "pin", "run", "status")],
)
def test_every_command_has_an_example(capsys: pytest.CaptureFixture[str], words: tuple[str, str]) -> None:
    code, out, _ = run(capsys, *words, "--help")
    assert code == 0
    assert f"fedstill {words[0]} {words[1]}" in " ".join(out.split())


def test_a_link_to_the_console_and_the_end_of_all_sessions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "coordinator"
    config = written(tmp_path / "federation.toml", federation_table(2))
    run(capsys, "coordinator", "init", home, "--config", config, "--host", "fl.example.org")
    code, out, err = run(capsys, "coordinator", "console", home)
    link, _, secret = out.strip().partition("#")
    assert (code, link) == (0, "https://fl.example.org:8443/console/login")
    assert "not open now" in err
    assert secret not in err
    token = Access(home).sign_in(secret)
    assert token is not None
    code, out, _ = run(capsys, "coordinator", "console", home, "--sign-out", "--json")
    assert (code, json.loads(out)) == (0, {"signed_out": 1})
    assert not Access(home).holds(token)


@pytest.mark.parametrize("expires", ["25h", "0s", "soon", "30d"])
def test_a_link_does_not_hold_for_long(tmp_path: Path, capsys: pytest.CaptureFixture[str], expires: str) -> None:
    code, out, err = run(capsys, "coordinator", "console", tmp_path, "--expires", expires)
    assert (code, out) == (40, "")
    assert "a link" in " ".join(err.split())
