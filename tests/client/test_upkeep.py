"""The certificate renews itself, who was revoked is forgotten, and nobody is ever added without an operator."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from client.folder import InstitutionFolder
from client.upkeep import Keeper, Upkeep, without_the_revoked
from server.certified import Certified
from shared.certificates import load_authority, load_certificate
from shared.client_certificates import CLIENT_DAYS, client_key, issue, make_request
from shared.errors import DeploymentError, IdentityError
from shared.identity import load_roster, save_roster
from shared.secagg.roster import Roster
from tests.support.opened import Opened, make_coordinator, opened

ROSTERS = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([bytes(32), bytes(range(32))]))


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Opened]:
    with opened(make_coordinator(tmp_path / "coordinator")) as made:
        yield made


def upkeep(folder: Path, said: list[str]) -> Upkeep:
    return Upkeep(folder, folder.name, said.append)


def aged(coordinator: Opened, home: InstitutionFolder) -> None:
    """As if the member had joined long ago: its certificate is about to end."""
    key, certified = client_key(home.client_key), Certified(coordinator.folder / "enrolment" / "certificates")
    long_ago = datetime.now(UTC) - timedelta(days=CLIENT_DAYS - 10)
    old = issue(load_authority(coordinator.folder / "keys"), make_request(key, home.folder.name), home.folder.name, now=long_ago)
    certified.revoke(home.folder.name)
    certified.add(home.folder.name, old, now=long_ago.timestamp())
    home.certificate.write_bytes(old.public_bytes(Encoding.PEM))


def test_a_certificate_that_ends_soon_is_renewed_over_itself(coordinator: Opened, tmp_path: Path) -> None:
    coordinator.let_in("va", tmp_path / "va")
    home, said = InstitutionFolder(tmp_path / "va"), list[str]()
    upkeep(home.folder, said).look()
    assert said == []
    aged(coordinator, home)
    upkeep(home.folder, said).look()
    renewed = load_certificate(home.certificate)
    assert renewed.not_valid_after_utc - datetime.now(UTC) > timedelta(days=CLIENT_DAYS - 1)
    assert any("is renewed until" in line for line in said)
    upkeep(home.folder, said).look()
    assert load_certificate(home.certificate) == renewed, "once is enough"


def test_who_was_revoked_is_forgotten_and_who_is_new_is_not_taken(coordinator: Opened, tmp_path: Path) -> None:
    for name in ("va", "cl", "su"):
        coordinator.let_in(name, tmp_path / name)
    home, said = tmp_path / "va", list[str]()
    save_roster(home / "roster.json", load_roster(coordinator.folder / "roster.json"))
    coordinator.membership.revoke("cl")
    coordinator.let_in("mallory", tmp_path / "mallory")
    upkeep(home, said).look()
    assert set(load_roster(home / "roster.json").members) == {"va", "su"}
    assert any(line.startswith("cl is not in the federation") for line in said)
    upkeep(home, said).look()
    assert len(said) == 1


def test_a_certificate_that_cannot_be_renewed_does_not_hide_who_was_revoked(coordinator: Opened, tmp_path: Path) -> None:
    for name in ("va", "cl"):
        coordinator.let_in(name, tmp_path / name)
    home = InstitutionFolder(tmp_path / "va")
    save_roster(home.folder / "roster.json", load_roster(coordinator.folder / "roster.json"))
    aged(coordinator, home)
    coordinator.membership.revoke("cl")
    (coordinator.folder / "keys" / "ca.key").write_bytes(b"damaged")
    with pytest.raises(DeploymentError, match="its operator finds the cause"):
        upkeep(home.folder, []).look()
    assert set(load_roster(home.folder / "roster.json").members) == {"va"}


def test_who_was_revoked_itself_is_told_and_changes_nothing(coordinator: Opened, tmp_path: Path) -> None:
    coordinator.let_in("va", tmp_path / "va")
    before = load_roster(tmp_path / "va" / "roster.json").digest
    coordinator.membership.revoke("va")
    with pytest.raises(IdentityError, match="not in force"):
        upkeep(tmp_path / "va", []).look()
    assert load_roster(tmp_path / "va" / "roster.json").digest == before


def test_the_same_trouble_is_said_once(coordinator: Opened, tmp_path: Path) -> None:
    coordinator.let_in("va", tmp_path / "va")
    coordinator.membership.revoke("va")
    said: list[str] = []
    keeper = Keeper(upkeep(tmp_path / "va", said))
    for _ in range(3):
        keeper._once()
    assert len(said) == 1


class Slow(Upkeep):
    """A look that is under way when the service ends, until it is let go."""

    begun, free = threading.Event(), threading.Event()

    def look(self) -> None:
        self.begun.set()
        self.free.wait(10)
        self.say("done")


def test_a_look_that_is_under_way_ends_before_the_service_does(tmp_path: Path) -> None:
    said: list[str] = []
    with Keeper(Slow(tmp_path, "va", said.append)):
        assert Slow.begun.wait(10)
        threading.Timer(0.1, Slow.free.set).start()
    assert said == ["done"]


def test_a_look_that_does_not_end_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.upkeep.END_S", 0.05)
    Slow.begun.clear()
    Slow.free.clear()
    said: list[str] = []
    with Keeper(Slow(tmp_path, "va", said.append)):
        assert Slow.begun.wait(10)
    assert not said
    Slow.free.set()


def test_an_institution_that_was_enrolled_by_hand_is_left_alone(tmp_path: Path) -> None:
    upkeep(tmp_path, []).look()


@given(ROSTERS, ROSTERS)
def test_a_roster_only_ever_shrinks(pinned: dict[str, bytes], now: dict[str, bytes]) -> None:
    before = Roster(members=pinned, coordinator=bytes(32))
    left = without_the_revoked(before, Roster(members=now, coordinator=b"x" * 32))
    assert left.members.items() <= pinned.items()
    assert left.members.items() <= now.items()
    assert left.coordinator == before.coordinator
    assert without_the_revoked(left, Roster(members=now, coordinator=bytes(32))) == left
