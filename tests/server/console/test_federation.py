"""Who is a member, who is here, who has left, who is invited: as the coordinator's own commands say it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from server.console.federation import SOON_S, FederationReader
from server.membership import Membership
from server.provision import init_coordinator
from server.site import CoordinatorSite
from shared.config import FederationConfig
from shared.enrolment import Connection
from shared.errors import MissingFileError
from shared.identity import fingerprint, load_roster
from shared.service import write_status
from tests.support.opened import HOUR_S, make_coordinator, make_member
from tests.support.small import federation_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two members, one who was revoked, one who is only invited."""
    base = tmp_path_factory.mktemp("federation")
    made = make_coordinator(base / "coordinator")
    for name in ("ash", "birch", "gone"):
        make_member(made, base / name)
    Membership(made).revoke("gone")
    Membership(made).invite("elm", Connection(address="127.0.0.1:8443"), HOUR_S)
    return made


def test_the_federation_as_it_is(folder: Path) -> None:
    write_status(folder / "flower" / "status.json", "coordinator", "running", run="small-1", online=("ash",), ports={"door": 8443})
    page = FederationReader(CoordinatorSite(folder)).page()
    assert [(one.name, one.online, one.certificate) for one in page.members] == [("ash", True, "in force"), ("birch", False, "in force")]
    assert page.left == ("gone",)
    assert [(one.name, one.attempts) for one in page.invited] == [("elm", 0)]
    assert (page.name, page.state, page.run) == ("small", "running", "small-1")
    assert "127.0.0.1:8443" in page.addresses
    assert page.roster_fingerprint == fingerprint(load_roster(folder / "roster.json").digest)
    assert page.server_until > time.time()


def test_a_certificate_that_ends_is_said_in_time(folder: Path) -> None:
    until = max(one.until or 0.0 for one in Membership(folder).members())

    def said(now: float) -> set[str]:
        return {one.certificate for one in FederationReader(CoordinatorSite(folder), clock=lambda: now).page().members}

    assert said(until - SOON_S - HOUR_S) == {"in force"}
    assert said(until - HOUR_S) == {"ends soon"}
    assert said(until + 1) == {"ended"}


def test_of_the_addresses_those_that_lead_here_from_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "coordinator"
    init_coordinator(folder, FederationConfig.model_validate(federation_table(2)), ["fl.example.org"])
    write_status(folder / "flower" / "status.json", "coordinator", "open", ports={"door": 9443})
    assert FederationReader(CoordinatorSite(folder)).page().addresses == ("fl.example.org:9443",)


def test_a_coordinator_that_does_not_run_and_nobody_in_it(tmp_path: Path) -> None:
    page = FederationReader(CoordinatorSite(make_coordinator(tmp_path / "coordinator"))).page()
    assert (page.state, page.members, page.addresses, page.left, page.invited) == ("not running", (), (), (), ())


def test_a_roster_that_cannot_be_read_is_said_and_a_kept_one_is_not_needed(folder: Path, tmp_path: Path) -> None:
    other = make_coordinator(tmp_path / "coordinator")
    (other / "rosters" / "broken.json").parent.mkdir(exist_ok=True)
    (other / "rosters" / "broken.json").write_text("{")
    assert FederationReader(CoordinatorSite(other)).page().left == ()
    (other / "roster.json").unlink()
    with pytest.raises(MissingFileError):
        FederationReader(CoordinatorSite(other)).page()
