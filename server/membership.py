"""Who is a member: invite, let join, renew, revoke. Plain functions over the coordinator's folder; the wire is elsewhere.

All of them change the roster, the node keys, the certificates or the invitations under one lock, because the service and its
operator's commands are different processes.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from server.audit import CoordinatorAudit
from server.certified import Certified
from server.invitations import Invitation, Invitations
from server.provision import UnfitError, enrol, expel, was_enrolled
from server.site import CoordinatorSite
from server.superlink import CoordinatorFolder
from shared.certificates import fingerprint_of, load_authority, load_certificate
from shared.client_certificates import issue
from shared.config import Named, check_config
from shared.enrolment import Connection, Enrolment, parse_enrolment
from shared.errors import IdentityError
from shared.identity import load_roster
from shared.invitation import Token, make_token, proves
from shared.issuing import name_of
from shared.secagg.roster import Roster

NOT_INVITED = "this invitation cannot be used: it is unknown, used, expired or not proven; ask the coordinator's operator for a new one"
"""The one sentence for all of these: who tries invitations learns nothing from the answer."""
RENEW_S = 60.0
"""Seconds for which a new certificate is the last one: each is written down, and a member must not be able to fill the audit's disk."""

_LOG = logging.getLogger("fedstill.membership")


class NotInvitedError(IdentityError):
    """Somebody wants to join without an invitation that holds."""


@dataclass(frozen=True)
class Member:
    """One line of the roster for its operator; ``until`` is the end of its certificate, in seconds since 1970."""

    name: str
    identity: bytes
    until: float | None


class Membership:
    """The members of the federation in one coordinator's folder."""

    def __init__(self, folder: Path) -> None:
        self._home = CoordinatorFolder(folder)
        self._invitations = Invitations(self._home.enrolment / "invitations")
        self._certified = Certified(self._home.enrolment / "certificates")

    def invite(self, name: str, connection: Connection, lasts_s: float, *, now: float | None = None) -> Token:
        """A token for institution ``name``. A member may be invited again: with its old keys it gets a new certificate."""
        moment = now if now is not None else time.time()
        token = make_token(connection, fingerprint_of(load_certificate(self._home.ca)))
        with self._locked():
            self._invitations.add(name, token.public, moment + lasts_s)
        self._note("invited", name, expires=int(moment + lasts_s))
        return token

    def join(self, public: bytes, enrolment: bytes, request: bytes, proof: bytes, *, now: float | None = None) -> tuple[bytes, Roster]:
        """Lets an invited institution in: its certificate (PEM), and the roster that now has it.

        Raises :class:`NotInvitedError` for every invitation that does not hold, and :class:`UnfitError` for an enrolment or
        a certificate request that does not fit it; the invitation can then be used again, for what it is for.
        """
        with self._locked():
            invitation = self._proven(public, enrolment, request, proof, now)
            authority = load_authority(self._home.keys)
            with _fit():
                found = self._fitting(invitation, enrolment)
                certificate = issue(authority, request, invitation.name)
            roster = enrol(self._home.folder, [found], renewed_node=True)
            self._certified.add(invitation.name, certificate, now=now)
            self._note("joined", invitation.name, serial=f"{certificate.serial_number:x}")
            self._invitations.remove(invitation)
        return certificate.public_bytes(Encoding.PEM), roster

    def invites(self, public: bytes) -> bool:
        """Whether this is the public key of an invitation: asked of every stranger, so without the lock and without a line."""
        return self._invitations.known(public)

    def enrol(self, enrolments: Sequence[Enrolment]) -> Roster:
        """Adds institutions whose enrolments came by hand; as :func:`server.provision.enrol`."""
        with self._locked():
            roster = enrol(self._home.folder, enrolments)
        for enrolment in enrolments:
            self._note("enrolled", enrolment.name)
        return roster

    def renew(self, name: str, request: bytes, *, now: float | None = None) -> bytes:
        """A new certificate (PEM) for a member whose old one still holds.

        Raises :class:`UnfitError` for another's request, and within :data:`RENEW_S` seconds of the last certificate.
        """
        moment = now if now is not None else time.time()
        with self._locked():
            if name not in load_roster(self._home.roster).members:
                raise NotInvitedError(NOT_INVITED)
            authority = load_authority(self._home.keys)
            with _fit():
                certificate = issue(authority, request, name)
            if 0 <= moment - self._certified.made(name) < RENEW_S:
                raise UnfitError(f"the last certificate of '{name}' was made less than {RENEW_S:g} s ago: renew it later")
            self._certified.add(name, certificate, now=moment)
        self._note("renewed", name, serial=f"{certificate.serial_number:x}")
        return certificate.public_bytes(Encoding.PEM)

    def revoke(self, name: str) -> Roster:
        """Takes back an institution's invitation and certificates, and takes it off the roster with its node key, in this order.

        What of it is done when the rest fails holds, and the same call again does the rest. Raises :class:`IdentityError` where there
        is no invitation, and never was an institution, of this name; :class:`ConfigError` for what is no name.
        """
        name = check_config(Named, {"name": name}, where="the institution to revoke").name
        with self._locked():
            withdrawn = self._invitations.remove_for(name)
            self._certified.revoke(name)
            invited_only = withdrawn and not was_enrolled(self._home, name)
            roster = load_roster(self._home.roster) if invited_only else expel(self._home.folder, name)
            self._note("revoked", name)
        return roster

    def admits(self, name: str, serial: int) -> bool:
        """Whether the bearer of this certificate is a member now: asked at every call, from what is on disk."""
        return self._certified.holds(name, serial) and name in load_roster(self._home.roster).members

    def members(self) -> tuple[Member, ...]:
        """All members, by name."""
        roster = load_roster(self._home.roster)
        return tuple(Member(name, key, self._certified.until(name)) for name, key in sorted(roster.members.items()))

    def invited(self) -> tuple[Invitation, ...]:
        """The invitations that are open."""
        return self._invitations.open()

    def _proven(self, public: bytes, enrolment: bytes, request: bytes, proof: bytes, now: float | None) -> Invitation:
        invitation = self._invitations.find(public, now=now)
        if invitation is None:
            self._note("refused", "", reason="no such invitation")
            raise NotInvitedError(NOT_INVITED)
        if not proves(public, proof, fingerprint_of(load_certificate(self._home.ca)), enrolment, request):
            self._invitations.tried_in_vain(invitation)
            self._note("refused", invitation.name, reason="not proven")
            raise NotInvitedError(NOT_INVITED)
        return invitation

    def _fitting(self, invitation: Invitation, enrolment: bytes) -> Enrolment:
        found = parse_enrolment(enrolment, where="what was handed in")
        if found.name != invitation.name:
            self._invitations.tried_in_vain(invitation)
            self._note("refused", invitation.name, reason="another name")
            raise IdentityError(f"the invitation is for '{invitation.name}', not for '{found.name}': set name in institution.toml")
        return found

    def _note(self, event: str, institution: str, **detail: object) -> None:
        """The one place where a change of membership, or a refusal, is written down. No secret ever comes here.

        A refusal of nobody known goes to the log alone: strangers must not be able to fill the audit's disk.
        """
        words = " ".join(f"{name}={value}" for name, value in detail.items())
        _LOG.info("%s %s %s", event, institution or "nobody", words)
        if institution:
            CoordinatorAudit(CoordinatorSite(self._home.folder)).membership(event, institution, **detail)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self._home.enrolment / "lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("ab") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


@contextlib.contextmanager
def _fit() -> Iterator[None]:
    """Around checks of what somebody hands in, and of nothing else: what is wrong with the coordinator's own files is not for them."""
    try:
        yield
    except IdentityError as error:
        raise UnfitError(str(error)) from error


def peer_of(pem: bytes) -> tuple[str, int] | None:
    """Name and serial number of a caller's certificate, whose signature and dates TLS has checked; ``None`` if it is not ours."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        name = name_of(certificate.subject)
    except ValueError:
        return None
    return (name, certificate.serial_number) if name is not None else None
