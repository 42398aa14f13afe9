"""Which certificates are in force: a list for each institution of those that the CA made for it and that nobody took back.

``enrolment/certificates/NAME.json`` has their serial numbers. A certificate that is not listed is refused, whatever it says and
whoever signed it; so taking back is removing a file, at once, and needs no revocation list that somebody must fetch.
"""

from __future__ import annotations

import time
from pathlib import Path

from cryptography import x509
from pydantic import ValidationError

from shared.config import Name
from shared.files import PRIVATE_MODE, write_atomic
from shared.frozen import Frozen

MOST_AT_ONCE = 4
"""Certificates of one institution that are in force at a time; a fifth takes the place of the oldest."""


class _Listed(Frozen):
    serial: str
    until: float
    made: float = 0.0


class _List(Frozen):
    name: Name
    certificates: tuple[_Listed, ...] = ()


class Certified:
    """The certificates in force of one coordinator's folder. Whoever changes them holds the folder's lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, name: str, certificate: x509.Certificate, *, now: float | None = None) -> None:
        """Puts a new certificate of ``name`` in force, beside older ones that have not ended: its answer may get lost."""
        moment = now if now is not None else time.time()
        kept = [one for one in self._read(name).certificates if one.until > moment]
        until = certificate.not_valid_after_utc.timestamp()
        kept.append(_Listed(serial=f"{certificate.serial_number:x}", until=until, made=moment))
        after = _List(name=name, certificates=tuple(kept[-MOST_AT_ONCE:]))
        write_atomic(self._path(name), after.model_dump_json().encode(), mode=PRIVATE_MODE)

    def holds(self, name: str, serial: int) -> bool:
        """Whether the certificate with this serial number is in force for ``name``."""
        return f"{serial:x}" in {one.serial for one in self._read(name).certificates}

    def until(self, name: str) -> float | None:
        """When the newest certificate of ``name`` ends (seconds since 1970); ``None`` if it has none."""
        return max((one.until for one in self._read(name).certificates), default=None)

    def made(self, name: str) -> float:
        """When the newest certificate of ``name`` was put in force (seconds since 1970); 0 if it has none."""
        return max((one.made for one in self._read(name).certificates), default=0.0)

    def revoke(self, name: str) -> int:
        """Takes back every certificate of ``name``; returns how many there were."""
        count = len(self._read(name).certificates)
        self._path(name).unlink(missing_ok=True)
        return count

    def _read(self, name: str) -> _List:
        try:
            return _List.parse(self._path(name).read_bytes())
        except (OSError, ValidationError):
            return _List(name=name)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"
