"""``fedstill client check``: everything that a service needs, tried one after the other; each failure with its cure.

Nothing is changed and nothing leaves but one greeting to the coordinator. Records are read and counted, never shown.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from client.folder import InstitutionFolder
from client.link import open_link, proxy_for
from client.upkeep import fetch_roster, without_the_revoked
from shared.certificates import fingerprint_of, load_certificate
from shared.client_certificates import needs_renewal
from shared.config import InstitutionConfig, load_config
from shared.enrolment import Connection, read_connection
from shared.errors import DeploymentError, FedstillError, IdentityError, PolicyRefusal, ResourceError
from shared.identity import fingerprint, load_identity, load_roster, public_bytes, read_private

WAIT_S = 10.0
"""Longest wait for the coordinator in one check."""
MOST_SKEW_S = 120.0
"""Seconds by which the two clocks may differ; Flower's node signatures bear 300."""
LEAST_DISK = 2 * 2**30
LEAST_MEMORY = 2 * 2**30
"""Bytes that should be free before a run: the student, its optimiser, and what the teacher answered."""
_MEMORY = Path("/proc/meminfo")


@dataclass(frozen=True)
class Finding:
    """One check: what was tried, whether it is as it should be, and what was found or what to do."""

    check: str
    passed: bool
    detail: str


Try = Callable[[], str]


def preflight(
    folder: Path, *, read_records: Callable[[InstitutionConfig], int], open_teacher: Callable[[InstitutionConfig], str]
) -> list[Finding]:
    """All checks of an institution's folder, in order; a check that others stand on leaves those out if it fails.

    ``read_records`` gives the number of usable records and ``open_teacher`` a word on the teacher; both raise what is wrong.
    """
    found = _found("configuration", lambda: f"{_config(folder).name}, {_config(folder).task.family}")
    if not found.passed:
        return [found]
    config = _config(folder)
    local: tuple[tuple[str, Try], ...] = (
        ("keys", lambda: _keys(folder, config)),
        ("disk", lambda: _disk(folder)),
        ("memory", _memory),
        ("records", lambda: f"{read_records(config)} usable records"),
        ("teacher", lambda: open_teacher(config)),
        ("policy", lambda: _policy(folder, config)),
    )
    return [found, *(_found(name, work) for name, work in local), *_network(folder)]


def _network(folder: Path) -> Iterable[Finding]:
    home = InstitutionFolder(folder)
    pinned = _found("pinned", lambda: f"{read_connection(home.connection).address}, CA {_fingerprint(home.ca)}")
    yield pinned
    if not pinned.passed:
        return
    connection = read_connection(home.connection)
    steps: tuple[tuple[str, Try], ...] = (
        ("name", lambda: _resolves(connection)),
        ("port", lambda: _connects(connection)),
        ("TLS", lambda: _greets(connection, home.ca)),
        ("clock", lambda: _clock(connection, home.ca)),
        ("certificate", lambda: _certificate(home)),
        ("membership", lambda: _membership(folder)),
    )
    for name, work in steps:
        finding = _found(name, work)
        yield finding
        if not finding.passed and name in ("name", "port", "TLS"):
            return


def _found(name: str, work: Try) -> Finding:
    try:
        return Finding(name, True, work())
    except FedstillError as error:
        return Finding(name, False, str(error))


def _config(folder: Path) -> InstitutionConfig:
    return load_config(InstitutionConfig, folder / "institution.toml")


def _keys(folder: Path, config: InstitutionConfig) -> str:
    identity = load_identity(folder / "keys" / "identity.key")
    read_private(folder / "keys" / "node")
    if load_roster(folder / "roster.json").members.get(config.name) != public_bytes(identity):
        raise IdentityError(f"the pinned roster has not '{config.name}' with the key that lies here: join again, or restore the key")
    return "readable by their owner alone, and on the roster"


def _disk(folder: Path) -> str:
    free = shutil.disk_usage(folder).free
    if free < LEAST_DISK:
        raise ResourceError(f"{free / 2**30:.1f} GiB are free where {folder} lies: make room for at least {LEAST_DISK / 2**30:.0f} GiB")
    if not os.access(folder, os.W_OK):
        raise ResourceError(f"{folder} cannot be written: run the service as the user whom it belongs to")
    return f"{free / 2**30:.1f} GiB free"


def _memory() -> str:
    if not _MEMORY.exists():
        return "not known on this system"
    lines = dict(line.split(":", 1) for line in _MEMORY.read_text().splitlines() if ":" in line)
    available = int(lines["MemAvailable"].split()[0]) * 1024
    if available < LEAST_MEMORY:
        raise ResourceError(
            f"{available / 2**30:.1f} GiB of memory are free: close other programs, a run wants {LEAST_MEMORY / 2**30:.0f} GiB"
        )
    return f"{available / 2**30:.1f} GiB free"


def _policy(folder: Path, config: InstitutionConfig) -> str:
    policy, members = config.policy, len(load_roster(folder / "roster.json").members)
    if policy.smallest_cohort < policy.collusion + 2:
        raise PolicyRefusal(
            f"policy.smallest_cohort {policy.smallest_cohort} hides nobody behind {policy.collusion} that collude (policy.collusion): "
            f"set it to at least {policy.collusion + 2}"
        )
    if policy.smallest_cohort > members:
        raise PolicyRefusal(
            f"policy.smallest_cohort is {policy.smallest_cohort} and the pinned roster has {members}: every round will be refused; "
            "wait for more members and pin the roster again, or lower it"
        )
    return f"smallest cohort {policy.smallest_cohort} of {members}, approval {policy.approve}"


def _resolves(connection: Connection) -> str:
    if proxy_for(connection):
        return "left to the proxy"
    try:
        found = socket.getaddrinfo(connection.host, connection.port, proto=socket.IPPROTO_TCP)
    except OSError as error:
        raise DeploymentError(f"{connection.host} has no address here ({error}): check the name, and this machine's DNS") from error
    return str(found[0][4][0])


def _connects(connection: Connection) -> str:
    if proxy := proxy_for(connection):
        return f"through the proxy {httpx.URL(proxy).host}"
    try:
        socket.create_connection((connection.host, connection.port), timeout=WAIT_S).close()
    except OSError as error:
        raise DeploymentError(
            f"nobody answers at {connection.address} ({error}): is the coordinator running, and does the firewall let this port out?"
        ) from error
    return "open"


def _greets(connection: Connection, ca: Path) -> str:
    return f"proves itself to the pinned CA, {_asked(connection, ca).http_version}"


def _clock(connection: Connection, ca: Path) -> str:
    said = _asked(connection, ca).headers.get("date")
    if said is None:
        return "the coordinator does not say its time"
    skew = (datetime.now(UTC) - parsedate_to_datetime(said)).total_seconds()
    if abs(skew) > MOST_SKEW_S:
        raise DeploymentError(f"this machine's clock is {skew:+.0f} s beside the coordinator's: set it by NTP, or its calls are refused")
    return f"{skew:+.0f} s beside the coordinator's"


def _asked(connection: Connection, ca: Path) -> httpx.Response:
    context = ssl.create_default_context(cafile=str(ca))
    try:
        return httpx.get(
            f"https://{connection.address}/ca.crt", verify=context, timeout=WAIT_S, trust_env=False, proxy=proxy_for(connection)
        )
    except httpx.ConnectError as error:
        raise IdentityError(
            f"{connection.address} does not prove itself to the pinned {ca} ({error}): pin again, or ask its operator"
        ) from error
    except httpx.HTTPError as error:
        raise DeploymentError(
            f"{connection.address} breaks off ({type(error).__name__}): look at the proxy or firewall in between"
        ) from error


def _certificate(home: InstitutionFolder) -> str:
    if not home.certificate.exists():
        return "none: enrolled by hand, so the roster comes by hand too"
    certificate = load_certificate(home.certificate)
    if needs_renewal(certificate, before=timedelta(days=7)):
        raise IdentityError(
            f"{home.certificate} ends on {certificate.not_valid_after_utc:%Y-%m-%d}: run the service, which renews it, or join again"
        )
    return f"holds until {certificate.not_valid_after_utc:%Y-%m-%d}"


def _membership(folder: Path) -> str:
    if not InstitutionFolder(folder).certificate.exists():
        return "not asked without a certificate"
    pinned = load_roster(folder / "roster.json")
    with open_link(folder) as link:
        now = fetch_roster(link, folder)
    if now.digest == pinned.digest:
        return f"{len(now.members)} members, as pinned"
    if new := sorted(set(now.members) - set(without_the_revoked(pinned, now).members)):
        raise IdentityError(
            f"the roster has {', '.join(new)} beside what is pinned here: look at it with 'fedstill client roster {folder}'"
        )
    return f"{len(now.members)} members: fewer than pinned, which the service follows by itself"


def _fingerprint(ca: Path) -> str:
    return fingerprint(fingerprint_of(load_certificate(ca))[:8])
