"""What an institution's service does beside its rounds: hear of who was revoked, and renew its certificate before it ends.

A roster that only lost members is pinned by itself: the coordinator may leave anyone out of a round anyway, and each plan is
still held against this institution's own smallest cohort. Anything else about the roster, a new member, another key, is
somebody's decision (``fedstill client roster``).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from client.folder import InstitutionFolder
from client.link import Link, open_link
from shared.certificates import load_certificate
from shared.client_certificates import check_issued, client_key, make_request, needs_renewal
from shared.errors import FedstillError
from shared.files import write_atomic
from shared.identity import load_roster, save_roster
from shared.rpc import enrolment_pb2 as pb
from shared.rpc.services import ENROLMENT
from shared.secagg.roster import Roster
from shared.signed import check_roster

EVERY_S = 15.0
"""Seconds between two calls: a run that lost an institution rests for 30 s before it goes on (``server/supervise.py``)."""
END_S = 5.0
"""Longest wait for a look to end when the service does: what it writes is whole or not there, and processes must end within seconds."""

_LOG = logging.getLogger("fedstill.client")


@dataclass(frozen=True)
class Upkeep:
    """The upkeep of one institution's folder; ``say`` gets lines for its operator."""

    folder: Path
    name: str
    say: Callable[[str], None]

    def look(self) -> None:
        """Once: pins the roster if it only lost members, and renews the certificate if it is due. Raises what went wrong.

        In this order: that somebody was revoked is for all, and must not wait for what is about this institution alone.
        """
        home = InstitutionFolder(self.folder)
        if not home.certificate.exists():
            return  # enrolled by hand: its operator brings it a roster by hand, too
        with open_link(self.folder) as link:
            self._follow(fetch_roster(link, self.folder))
            if needs_renewal(load_certificate(home.certificate)):
                self._renew(link, home)

    def _renew(self, link: Link, home: InstitutionFolder) -> None:
        key = client_key(home.client_key)
        reply = link.call(ENROLMENT, "Renew", pb.RenewRequest(certificate_request=make_request(key, self.name)))
        certificate = check_issued(reply.certificate, key, self.name, load_certificate(home.ca))
        write_atomic(home.certificate, certificate.public_bytes(Encoding.PEM))
        self.say(f"the certificate of {self.name} is renewed until {certificate.not_valid_after_utc:%Y-%m-%d}")

    def _follow(self, now: Roster) -> None:
        pinned = load_roster(self.folder / "roster.json")
        left = without_the_revoked(pinned, now)
        if len(left.members) < len(pinned.members) and self.name in left.members:
            save_roster(self.folder / "roster.json", left)
            gone = ", ".join(sorted(set(pinned.members) - set(left.members)))
            self.say(f"{gone} is not in the federation any more; the roster without it is pinned")


class Keeper:
    """Does an :class:`Upkeep` every :data:`EVERY_S` seconds in a thread of its own, until it is closed."""

    def __init__(self, upkeep: Upkeep, *, every_s: float = EVERY_S) -> None:
        self._upkeep, self._every_s = upkeep, every_s
        self._ended = threading.Event()
        self._said = ""
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def __enter__(self) -> Keeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Waits for a look that is under way, so that none writes to a folder whose service has ended; at most :data:`END_S`."""
        self._ended.set()
        self._thread.join(END_S)

    def _run(self) -> None:
        while not self._ended.is_set():
            self._once()
            self._ended.wait(self._every_s)

    def _once(self) -> None:
        try:
            self._upkeep.look()
            self._said = ""
        except FedstillError as error:
            # The same trouble is said once, not four times a minute.
            if str(error) != self._said:
                self._upkeep.say(str(error))
            self._said = str(error)
        except Exception as error:
            _LOG.error("the upkeep failed with %s", type(error).__name__)


def fetch_roster(link: Link, folder: Path) -> Roster:
    """The roster as the coordinator has it now, signed by the very coordinator that is pinned here."""
    reply = link.call(ENROLMENT, "Roster", pb.RosterRequest())
    return check_roster(reply.roster, reply.signature, load_roster(folder / "roster.json").coordinator)


def without_the_revoked(pinned: Roster, now: Roster) -> Roster:
    """The members that are pinned and still there with the same key. Nobody is ever added."""
    members = {name: key for name, key in pinned.members.items() if now.members.get(name) == key}
    return Roster(members=members, coordinator=pinned.coordinator)
