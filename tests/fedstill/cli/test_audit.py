"""``fedstill audit`` as an operator and a data-protection officer call it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from fedstill.cli import main
from shared.audit.writer import AuditLog
from shared.identity import load_identity
from tests.support.small import SmallFederation, make_federation


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> SmallFederation:
    federation = make_federation(tmp_path_factory.mktemp("run"), 3, rounds=1)
    federation.run()
    return federation


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["audit", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


def test_verify(played: SmallFederation, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "verify", played.institutions["ash"])
    assert code == 0
    assert "institution/ash: " in out
    code, out, _ = call(capsys, "verify", played.coordinator, "--json")
    assert (code, json.loads(out)["side"]) == (0, "coordinator")


def test_verify_locates_a_changed_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    federation = make_federation(tmp_path, 3, rounds=1)
    federation.run()
    log = federation.institutions["ash"] / "audit" / "log.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines[:4], lines[4].replace(b'"run":"trial"', b'"run":"other"'), *lines[5:]]))
    code, _, err = call(capsys, "verify", federation.institutions["ash"])
    assert code == 75
    assert "at line 5: it was changed" in err


def test_show(played: SmallFederation, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "show", played.coordinator)
    assert code == 0
    assert "roster" in out.splitlines()[0]
    assert "artifact" in out
    _, out, _ = call(capsys, "show", played.coordinator, "--run", "trial", "--json")
    kinds = [json.loads(line)["kind"] for line in out.splitlines()]
    assert "roster" not in kinds
    assert kinds[0] == "run-started"
    assert call(capsys, "show", played.coordinator, "--run", "another")[:2] == (0, "")


def test_what_left_the_building(played: SmallFederation, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "left", played.institutions["ash"], "--run", "trial")
    assert code == 0
    assert "how the student model should change" in out
    assert "masked" in out
    assert "only the sum over all institutions" in out
    _, out, _ = call(capsys, "left", played.institutions["ash"], "--run", "trial", "--json")
    rows = json.loads(out)
    assert {row["form"] for row in rows} == {"masked", "sealed", "clear"}
    assert all(len(row["sha256"]) == 64 for row in rows)
    assert "nothing left" in call(capsys, "left", played.institutions["ash"], "--run", "another")[1]
    assert "nothing left coordinator" in call(capsys, "left", played.coordinator)[1]


def test_export(played: SmallFederation, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, "export", played.institutions["ash"], "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [int(row["n"]) for row in rows] == list(range(1, len(rows) + 1))
    _, out, _ = call(capsys, "export", played.institutions["ash"])
    assert len(json.loads(out)) == len(rows)


def test_compare(played: SmallFederation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "compare", played.coordinator, played.institutions["ash"])[:2] == (0, "the two audits fit\n")
    other = make_federation(tmp_path, 3, rounds=1)
    other.run()
    code, _, err = call(capsys, "compare", played.coordinator, other.institutions["ash"])
    assert code == 75
    assert "the coordinator has an answer of ash that ash's audit does not have" in err
    _, out, _ = call(capsys, "compare", played.coordinator, played.institutions["ash"], "--json")
    assert json.loads(out) == {"fits": True, "complaints": []}
    assert call(capsys, "compare", played.institutions["ash"], played.coordinator)[0] == 10


def test_a_folder_without_an_audit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "verify", tmp_path)
    assert code == 21
    assert "there is no audit" in err


def test_what_a_side_signed_moves_no_cursor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    federation = make_federation(tmp_path, 3)
    home, odd = federation.institutions["ash"], "\x1b[2J\ud800\n"
    audit = AuditLog(home / "audit", "institution/ash", load_identity(home / "keys" / "identity.key"))
    audit.append(odd, **{odd: odd, "run": odd, "stage": odd})
    audit.append("answered", left=[{"name": odd}])
    for arguments in (("verify",), ("show",), ("show", "--json"), ("export",), ("export", "--format", "csv")):
        code, out, _ = call(capsys, arguments[0], home, *arguments[1:])
        assert (code, "\x1b" in out) == (0, False)
        out.encode()
    assert len(call(capsys, "show", home)[1].splitlines()) == 2
    for command in (("left", home), ("compare", federation.coordinator, home)):
        AuditLog(federation.coordinator / "audit", "coordinator", load_identity(federation.coordinator / "keys" / "identity.key")).append(
            "x"
        )
        code, _, err = call(capsys, *command)
        assert (code, "\x1b" in err) == (75, False)
        assert "line 2 of the audit of institution/ash" in err


def test_an_unproven_side_moves_no_cursor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = make_federation(tmp_path, 3).institutions["ash"]
    AuditLog(home / "audit", "\x1b[2Jash", load_identity(home / "keys" / "identity.key")).append("x")
    code, _, err = call(capsys, "verify", home)
    assert (code, "\x1b" in err) == (40, False)
