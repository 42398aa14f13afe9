"""The page of the federation: who is a member, who is here, until when certificates hold, who has left, who is invited."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from cryptography import x509

from server.membership import Member, Membership
from server.site import CoordinatorSite
from server.superlink import CoordinatorFolder
from shared.certificates import fingerprint_of, hosts_of, load_certificate
from shared.errors import DeploymentError, FedstillError
from shared.frozen import Frozen
from shared.hosting import LOOPBACK
from shared.identity import fingerprint, load_roster
from shared.printable import one_line
from shared.secagg.roster import Roster
from shared.service import ServiceStatus, read_status

SOON_S = 14 * 86_400.0
"""Less than this left of a certificate, which renews itself long before, and somebody should look why it has not."""
NOT_RUNNING = ServiceStatus(role="coordinator", state="not running", pid=0, written=0.0)

Holds = Literal["in force", "ends soon", "ended", "none"]


class MemberLine(Frozen):
    """An institution: whether its node is connected now, and how its newest certificate is (``none``: enrolled by hand)."""

    name: str
    online: bool
    certificate: Holds
    certificate_until: float | None
    identity: str


class Invited(Frozen):
    """An open invitation, of which nothing secret is anywhere: for whom, until when, and how often it was tried in vain."""

    name: str
    expires: float
    attempts: int


class FederationPage(Frozen):
    """Everything of the federation that is no run. Times are seconds since 1970, fingerprints are what people compare by telephone."""

    title: str = "Federation"
    name: str
    version: str
    addresses: tuple[str, ...]
    state: str
    run: str
    members: tuple[MemberLine, ...]
    left: tuple[str, ...]
    invited: tuple[Invited, ...]
    roster_fingerprint: str
    coordinator_key: str
    ca_fingerprint: str
    ca_until: float
    server_until: float


class FederationReader:
    """Reads the page anew at every call, from what is on the disk."""

    def __init__(self, site: CoordinatorSite, *, clock: Callable[[], float] = time.time) -> None:
        self._site, self._home, self._clock = site, CoordinatorFolder(site.folder), clock
        self._membership = Membership(site.folder)

    def page(self) -> FederationPage:
        """The federation now; raises the error of a file that cannot be read."""
        status, roster, now = service_status(self._home), self._site.current_roster(), self._clock()
        ca, server = load_certificate(self._home.ca, ended_too=True), load_certificate(self._home.certificate, ended_too=True)
        return FederationPage(
            name=self._site.config.name,
            version=installed_version(),
            addresses=_addresses(server, status),
            state=status.state,
            run=one_line(status.run),
            members=tuple(_line(member, status, now) for member in self._membership.members()),
            left=tuple(sorted(_ever(self._home) - set(roster.members))),
            invited=tuple(Invited(name=one.name, expires=one.expires, attempts=one.attempts) for one in self._membership.invited()),
            roster_fingerprint=fingerprint(roster.digest),
            coordinator_key=fingerprint(roster.coordinator),
            ca_fingerprint=fingerprint(fingerprint_of(ca)),
            ca_until=_until(ca),
            server_until=_until(server),
        )


def service_status(home: CoordinatorFolder) -> ServiceStatus:
    """What the service says of itself; :data:`NOT_RUNNING` where it says nothing."""
    try:
        return read_status(home.status)
    except DeploymentError:
        return NOT_RUNNING


def installed_version() -> str:
    """The release that runs here."""
    try:
        return version("fedstill")
    except PackageNotFoundError:
        return "unknown"


def _addresses(server: x509.Certificate, status: ServiceStatus) -> tuple[str, ...]:
    """Where institutions reach the door while it is open; this machine's own names only where there is no other."""
    port, hosts = status.ports.get("door"), hosts_of(server)
    elsewhere = [host for host in hosts if host not in (LOOPBACK, "localhost")]
    return () if port is None else tuple(f"{host}:{port}" for host in elsewhere or hosts)


def _line(member: Member, status: ServiceStatus, now: float) -> MemberLine:
    return MemberLine(
        name=member.name,
        online=member.name in status.online,
        certificate=_holds(member.until, now),
        certificate_until=member.until,
        identity=fingerprint(member.identity),
    )


def _holds(until: float | None, now: float) -> Holds:
    if until is None:
        return "none"
    if until <= now:
        return "ended"
    return "ends soon" if until - now < SOON_S else "in force"


def _ever(home: CoordinatorFolder) -> set[str]:
    """Everybody who was ever on a roster."""
    return {name for path in home.rosters.glob("*.json") for name in _kept(path).members}


def _kept(path: Path) -> Roster:
    try:
        return load_roster(path)
    except FedstillError:
        return Roster(members={}, coordinator=b"")


def _until(certificate: x509.Certificate) -> float:
    return certificate.not_valid_after_utc.timestamp()
