"""An institution makes its own keys, and pins only a roster that it is on."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.folder import InstitutionFolder
from client.provision import init_institution, pin
from server.provision import enrol, init_coordinator
from shared.config import FederationConfig, InstitutionConfig, load_config
from shared.enrolment import Connection, read_connection, read_enrolment
from shared.errors import IdentityError
from shared.identity import load_roster
from shared.secagg.roster import Roster
from tests.support.small import federation_table

ADDRESS = Connection(address="fl.example.org:8443")


def config(name: str, folder: Path) -> InstitutionConfig:
    table = federation_table(2)
    data = {"source": "arrays", "path": str(folder / "records.npz")}
    return InstitutionConfig.model_validate({"name": name, "task": table["task"], "student": table["student"], "data": data})


def federation(folder: Path, *names: str) -> Roster:
    init_coordinator(folder / "coordinator", FederationConfig.model_validate(federation_table(2)), [])
    for name in names:
        init_institution(folder / name, config(name, folder / name))
    return enrol(folder / "coordinator", [read_enrolment(folder / name / "enrolment.json") for name in names])


def test_the_enrolment_is_all_that_travels(tmp_path: Path) -> None:
    federation(tmp_path, "va", "cl")
    home = tmp_path / "va"
    assert {path.name for path in home.iterdir()} == {"keys", "institution.toml", "enrolment.json"}
    assert all((home / "keys" / key).stat().st_mode & 0o777 == 0o600 for key in ("identity.key", "node"))
    assert "PRIVATE" not in (home / "enrolment.json").read_text()
    assert load_config(InstitutionConfig, home / "institution.toml") == config("va", home)


def test_pinning_keeps_roster_authority_and_address(tmp_path: Path) -> None:
    roster = federation(tmp_path, "va", "cl")
    ca = tmp_path / "coordinator" / "keys" / "ca.crt"
    pin(tmp_path / "va", roster, ca=ca, connection=ADDRESS)
    home = InstitutionFolder(tmp_path / "va")
    assert load_roster(tmp_path / "va" / "roster.json").digest == roster.digest
    assert home.ca.read_bytes() == ca.read_bytes()
    assert read_connection(home.connection) == ADDRESS


def test_a_roster_without_us_is_refused(tmp_path: Path) -> None:
    roster = federation(tmp_path, "va", "cl")
    stranger = Roster(members={**roster.members, "va": bytes(32)}, coordinator=roster.coordinator)
    with pytest.raises(IdentityError, match=r"enrolment\.json"):
        pin(tmp_path / "va", stranger)
    assert not (tmp_path / "va" / "roster.json").exists()


def test_another_roster_needs_a_decision(tmp_path: Path) -> None:
    roster = federation(tmp_path, "va", "cl")
    pin(tmp_path / "va", roster)
    changed = Roster(members={**roster.members, "mallory": bytes(32)}, coordinator=roster.coordinator)
    with pytest.raises(IdentityError, match="--replace"):
        pin(tmp_path / "va", changed)
    assert load_roster(tmp_path / "va" / "roster.json").digest == roster.digest
    pin(tmp_path / "va", changed, replace=True)
    assert load_roster(tmp_path / "va" / "roster.json").digest == changed.digest


def test_another_authority_needs_a_decision(tmp_path: Path) -> None:
    roster = federation(tmp_path / "one", "va")
    federation(tmp_path / "two", "va")
    ours, theirs = (tmp_path / side / "coordinator" / "keys" / "ca.crt" for side in ("one", "two"))
    pin(tmp_path / "one" / "va", roster, ca=ours)
    with pytest.raises(IdentityError, match="another CA"):
        pin(tmp_path / "one" / "va", roster, ca=theirs)
    pin(tmp_path / "one" / "va", roster, ca=theirs, replace=True)


def test_keys_are_made_once(tmp_path: Path) -> None:
    federation(tmp_path, "va")
    with pytest.raises(IdentityError, match="already"):
        init_institution(tmp_path / "va", config("va", tmp_path / "va"))
