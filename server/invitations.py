"""The invitations that are open: one file each, without the secret, good once and for a while.

``enrolment/invitations/<SHA-256 of the public key>.json`` (0600) says for whom an invitation is, until when, and how often it was
tried in vain. It is removed when it is used, when it has expired, and after :data:`MOST_ATTEMPTS` proofs that do not hold.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field, ValidationError

from shared.config import Name
from shared.errors import IdentityError
from shared.files import PRIVATE_MODE, write_atomic
from shared.frozen import Frozen

MOST_ATTEMPTS = 5
"""Proofs that do not hold after which an invitation is void: only who has seen a part of it can make one at all."""
LONGEST_S = 30 * 86_400.0
"""The longest time for which an invitation may hold."""


class Invitation(Frozen):
    """For whom an invitation is, its Ed25519 public key (base64), and when it ends (seconds since 1970)."""

    name: Name
    public: str
    expires: float
    attempts: int = Field(default=0, ge=0)

    @property
    def public_bytes(self) -> bytes:
        """The raw public key (32 bytes)."""
        return base64.b64decode(self.public)


class Invitations:
    """The open invitations of one coordinator's folder. Whoever changes them holds the folder's lock (``server/membership.py``)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, name: str, public: bytes, expires: float) -> Invitation:
        """Writes down a new invitation; those for the same name that were open before are void."""
        self.remove_for(name)
        made = Invitation(name=name, public=base64.b64encode(public).decode(), expires=expires)
        self._write(made)
        return made

    def find(self, public: bytes, *, now: float | None = None) -> Invitation | None:
        """The invitation with this public key; ``None`` if there is none, or none any more."""
        invitation = self._read(public)
        if invitation is not None and invitation.expires <= (now if now is not None else time.time()):
            self.remove(invitation)
            return None
        return invitation

    def known(self, public: bytes) -> bool:
        """Whether there is an invitation with this public key, perhaps one that has expired. Needs no lock: it changes nothing."""
        return self._read(public) is not None

    def tried_in_vain(self, invitation: Invitation) -> None:
        """Counts a proof that does not hold; the last one that is borne ends the invitation."""
        after = invitation.model_copy(update={"attempts": invitation.attempts + 1})
        if after.attempts >= MOST_ATTEMPTS:
            self.remove(invitation)
        else:
            self._write(after)

    def remove(self, invitation: Invitation) -> None:
        """Ends an invitation."""
        self._path(invitation.public_bytes).unlink(missing_ok=True)

    def remove_for(self, name: str) -> int:
        """Ends whatever invitation is open for ``name``; returns how many there were."""
        found = [path for path, invitation in self._all() if invitation.name == name]
        for path in found:
            path.unlink(missing_ok=True)
        return len(found)

    def open(self, *, now: float | None = None) -> tuple[Invitation, ...]:
        """All invitations that can still be used, by name."""
        moment = now if now is not None else time.time()
        return tuple(sorted((found for _, found in self._all() if found.expires > moment), key=lambda found: found.name))

    def _read(self, public: bytes) -> Invitation | None:
        try:
            return Invitation.parse(self._path(public).read_bytes())
        except (OSError, ValidationError):
            return None

    def _all(self) -> Iterator[tuple[Path, Invitation]]:
        for path in sorted(self._folder.glob("*.json")):
            with contextlib.suppress(OSError, ValidationError):
                yield path, Invitation.parse(path.read_bytes())

    def _write(self, invitation: Invitation) -> None:
        write_atomic(self._path(invitation.public_bytes), invitation.model_dump_json().encode(), mode=PRIVATE_MODE)

    def _path(self, public: bytes) -> Path:
        return self._folder / f"{hashlib.sha256(public).hexdigest()}.json"


def lifetime(text: str, *, what: str = "an invitation", longest_s: float = LONGEST_S) -> float:
    """Seconds of ``24h``, ``90m``, ``7d`` or ``30s``; raises :class:`IdentityError` for anything else, and beyond ``longest_s``."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    number, unit = text[:-1], text[-1:]
    if unit not in units or not number.isascii() or not number.isdigit() or len(number) > 9:
        raise IdentityError(f"'{text}' is no time for which {what} holds: say for example 24h, 90m or 7d")
    seconds = int(number) * units[unit]
    if not 0 < seconds <= longest_s:
        most = f"{longest_s / 86_400:g} days" if longest_s > 86_400 else f"{longest_s / 3600:g} hours"
        raise IdentityError(f"{what} holds for at least a second and at most {most}, not {text}")
    return float(seconds)
