"""Each check says what is wrong and its cure, and one that stands on another is left out where that fails."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from client import preflight as module
from client.folder import InstitutionFolder
from client.preflight import Finding, preflight
from shared.certificates import load_authority, make_authority
from shared.client_certificates import CLIENT_DAYS, client_key, issue, make_request
from shared.enrolment import Connection, write_connection
from shared.errors import CheckpointError, LabelError
from shared.identity import load_roster, save_roster
from shared.processes import free_port
from shared.secagg.roster import Roster
from tests.support.opened import Opened, make_coordinator, opened

ALL = (
    "configuration",
    "keys",
    "disk",
    "memory",
    "records",
    "teacher",
    "policy",
    "pinned",
    "name",
    "port",
    "TLS",
    "clock",
    "certificate",
    "membership",
)


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    with opened(make_coordinator(tmp_path_factory.mktemp("preflight") / "coordinator")) as made:
        yield made


@pytest.fixture
def home(coordinator: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InstitutionFolder:
    """The folder of one of at least three members, who has pinned them all, on a machine with room."""
    monkeypatch.setattr(module, "LEAST_DISK", 1)
    monkeypatch.setattr(module, "LEAST_MEMORY", 1)
    present = {one.name for one in coordinator.membership.members()}
    for name in {"cl", "su"} - present:
        coordinator.let_in(name, coordinator.folder.parent / name)
    name = f"va-{len(present)}"
    coordinator.let_in(name, tmp_path / name)
    return InstitutionFolder(tmp_path / name)


def checks(home: InstitutionFolder, **changed: Any) -> dict[str, Finding]:
    work = {"read_records": lambda _: 7, "open_teacher": lambda _: "a network", **changed}
    return {finding.check: finding for finding in preflight(home.folder, **work)}


def failed(found: dict[str, Finding]) -> dict[str, str]:
    return {name: one.detail for name, one in found.items() if not one.passed}


def test_all_is_well(home: InstitutionFolder) -> None:
    found = checks(home)
    assert failed(found) == {}
    assert tuple(found) == ALL
    assert found["records"].detail == "7 usable records"


def test_a_configuration_that_cannot_be_read_ends_it(home: InstitutionFolder) -> None:
    (home.folder / "institution.toml").write_text("name = 3")
    found = checks(home)
    assert tuple(found) == ("configuration",)
    assert "institution.toml" in failed(found)["configuration"]


def test_open_keys_are_said(home: InstitutionFolder) -> None:
    (home.folder / "keys" / "node").chmod(0o644)
    assert "chmod 600" in failed(checks(home))["keys"]


def test_records_and_teacher_say_their_own_errors(home: InstitutionFolder) -> None:
    def raising(error: Exception) -> Any:
        def work(_: Any) -> Any:
            raise error

        return work

    found = failed(
        checks(
            home, read_records=raising(LabelError("the label 'x' is none")), open_teacher=raising(CheckpointError("no teacher lies there"))
        )
    )
    assert found == {"records": "the label 'x' is none", "teacher": "no teacher lies there"}


def test_a_full_disk_and_little_memory_are_said(home: InstitutionFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_DISK", 2**62)
    monkeypatch.setattr(module, "LEAST_MEMORY", 2**62)
    found = failed(checks(home))
    assert "make room" in found["disk"]
    assert "memory" in found["memory"]


def test_a_policy_that_would_refuse_every_round_is_said(home: InstitutionFolder) -> None:
    path = home.folder / "institution.toml"
    path.write_text(path.read_text().replace("smallest_cohort = 3", "smallest_cohort = 300"))
    assert "every round will be refused" in failed(checks(home))["policy"]
    path.write_text(path.read_text().replace("smallest_cohort = 300", "smallest_cohort = 2"))
    assert "hides nobody" in failed(checks(home))["policy"]


def test_nobody_at_the_port_is_said_and_what_stands_on_it_left_out(home: InstitutionFolder) -> None:
    write_connection(home.connection, Connection(address=f"127.0.0.1:{free_port()}"))
    found = checks(home)
    assert "is the coordinator running" in failed(found)["port"]
    assert list(found)[-1] == "port"


def test_a_name_that_is_none_is_said(home: InstitutionFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise OSError("no such name")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    assert "DNS" in failed(checks(home))["name"]


def test_another_authority_is_said(home: InstitutionFolder, tmp_path: Path) -> None:
    make_authority(tmp_path / "other", name="mallory")
    home.ca.write_bytes((tmp_path / "other" / "ca.crt").read_bytes())
    found = checks(home)
    assert "does not prove itself" in failed(found)["TLS"]
    assert list(found)[-1] == "TLS"


def test_a_wrong_clock_is_said(home: InstitutionFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(seconds=600)

    monkeypatch.setattr(module, "datetime", Late)
    assert "NTP" in failed(checks(home))["clock"]


def test_a_certificate_that_ends_in_days_is_said(coordinator: Opened, home: InstitutionFolder) -> None:
    name = home.folder.name
    old = datetime.now(UTC) - timedelta(days=CLIENT_DAYS - 3)
    made = issue(load_authority(coordinator.folder / "keys"), make_request(client_key(home.client_key), name), name, now=old)
    home.certificate.write_bytes(made.public_bytes(Encoding.PEM))
    assert "run the service, which renews it" in failed(checks(home))["certificate"]


def test_a_member_that_is_not_pinned_yet_is_said(coordinator: Opened, home: InstitutionFolder) -> None:
    pinned = load_roster(home.folder / "roster.json")
    fewer = {name: key for name, key in pinned.members.items() if name != "cl"}
    save_roster(home.folder / "roster.json", Roster(members=fewer, coordinator=pinned.coordinator))
    assert "'fedstill client roster" in failed(checks(home))["membership"]


def test_a_revoked_institution_is_told(coordinator: Opened, home: InstitutionFolder) -> None:
    coordinator.membership.revoke(home.folder.name)
    assert "not in force" in failed(checks(home))["membership"]


def test_an_institution_that_was_enrolled_by_hand_needs_no_certificate(home: InstitutionFolder) -> None:
    home.certificate.unlink()
    found = checks(home)
    assert failed(found) == {}
    assert "by hand" in found["certificate"].detail
