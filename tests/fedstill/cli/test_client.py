"""``fedstill client``: keys are made once and stay at home, a roster is pinned once, and a service is said to run or not."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

import pytest
import tomli_w

from fedstill.cli import main
from shared.identity import fingerprint, load_identity, load_roster, make_identity, public_bytes, save_roster
from shared.knowledge.salt import read_salt
from shared.secagg.roster import Roster
from tests.support.small import federation_table


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["client", *map(str, arguments)])
    captured = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return caught.value.code, captured.out, captured.err


@pytest.fixture
def home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """An institution that has its keys."""
    table = {"name": "ash", "task": federation_table(2)["task"], "data": {"source": "arrays", "path": "records.npz"}}
    (tmp_path / "site.toml").write_text(tomli_w.dumps(table))
    assert run(capsys, "init", tmp_path / "ash", "--config", tmp_path / "site.toml")[0] == 0
    return tmp_path / "ash"


def roster(folder: Path, home: Path, *others: str) -> Path:
    members = {"ash": public_bytes(load_identity(home / "keys" / "identity.key"))}
    made = folder / f"roster-of-{len(others)}"
    members |= {name: public_bytes(make_identity(made / name / "identity.key")) for name in others}
    path = made / "roster.json"
    save_roster(path, Roster(members=members, coordinator=public_bytes(make_identity(made / "coordinator" / "identity.key"))))
    return path


def test_what_is_sent_away_holds_no_private_key(home: Path) -> None:
    sent = (home / "enrolment.json").read_text()
    private = [path for path in (home / "keys").iterdir() if "PRIVATE" in path.read_text(errors="replace")]
    assert home / "keys" / "identity.key" in private
    assert all(path.stat().st_mode & 0o077 == 0 for path in private)
    assert "PRIVATE" not in sent
    for path in private:
        # The secret itself, line by line: no part of it is in what leaves.
        assert not any(line in sent for line in path.read_text().splitlines()[1:-1])


def test_the_fingerprint_on_the_telephone_is_that_of_the_key(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "init", tmp_path / "other", "--config", tmp_path / "site.toml")
    key = public_bytes(load_identity(tmp_path / "other" / "keys" / "identity.key"))
    assert code == 0
    assert fingerprint(key) in out
    assert fingerprint(public_bytes(load_identity(home / "keys" / "identity.key"))) not in out


def test_a_roster_is_pinned_once_unless_its_operator_says_so(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = roster(tmp_path, home, "elm", "fir"), roster(tmp_path, home, "elm", "fir", "oak")
    code, out, _ = run(capsys, "pin", home, first, "--json")
    assert (code, json.loads(out)["members"]) == (0, ["ash", "elm", "fir"])
    code, _, err = run(capsys, "pin", home, second)
    assert code == 40
    assert load_roster(home / "roster.json").digest == load_roster(first).digest
    assert "--replace" in err
    code, out, _ = run(capsys, "pin", home, second, "--replace", "--address", "fl.example.org:8443")
    assert code == 0
    assert fingerprint(load_roster(second).digest) in out
    assert load_roster(home / "roster.json").digest == load_roster(second).digest


def test_the_service_is_run_with_what_was_asked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with patch("client.supervise.InstitutionService") as service:
        assert run(capsys, "run", home, "--give-up-after", "5")[0] == 0
    assert service.call_args.args == (home,)
    assert service.call_args.kwargs["patience_s"] == 5
    service.return_value.serve.assert_called_once_with()
    service.call_args.kwargs["say"]("waiting for [the coordinator]")
    assert capsys.readouterr().err == "waiting for [the coordinator]\n"
    assert run(capsys, "run", home, "--give-up-after", "0")[0] == 2


def test_a_salt_is_made_once_and_said_to_be_kept_from_the_coordinator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "salt"
    code, out, _ = run(capsys, "salt", path)
    assert code == 0
    assert "never to the coordinator" in out
    made = read_salt(path)
    assert run(capsys, "salt", path)[0] != 0
    assert read_salt(path) == made
