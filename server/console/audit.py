"""The page of the audit: the newest entries first, and whether the chain of all of them verifies.

To verify an audit is to read and check every line of it, which takes longer the longer it is. So it is done again only when the audit
has changed, and then at most for a twentieth of the time; the page says when, and how many lines there were. Of the lines that a page
shows each one's own signature is checked anew. The public key is that of the roster in the coordinator's folder: whether that is the
one which institutions have pinned, ``fedstill audit verify --roster`` says at one of them.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable
from typing import Any

from server.site import CoordinatorSite
from shared.audit.chain import HEAD_NAME, LOG_NAME, Entry, genuine, read_entry
from shared.audit.last import backwards
from shared.audit.verify import verify
from shared.errors import AuditError, FedstillError, MissingFileError
from shared.frozen import Frozen
from shared.printable import one_line

A_PAGE = 50
"""Entries on one page."""
REST_S, REST_TIMES = 5.0, 20.0
"""Shortest rest between two verifications in seconds, and in times of what the last one took."""
MOST_FIELDS = 64
"""Fields of an entry that are shown; each is cut at the length of a line (``shared/printable.py``)."""

_SHORT = 40


class Verdict(Frozen):
    """Whether the audit was whole when it was last verified (seconds since 1970), how many entries it had, and what does not fit."""

    whole: bool
    entries: int
    fault: str
    verified_at: float


class EntryLine(Frozen):
    """One entry: what it is about in a line, all its ``fields`` (name, value), and whether it carries the coordinator's signature."""

    n: int
    time: str
    kind: str
    about: str
    fields: tuple[tuple[str, str], ...]
    genuine: bool


class AuditPage(Frozen):
    """Some entries of the audit, the newest first; ``more`` says whether there are older ones than those of this page."""

    title: str = "Audit"
    verdict: Verdict | None
    entries: tuple[EntryLine, ...]
    page: int
    more: bool


class AuditReader:
    """Reads the coordinator's audit. Never touches the private key that writes it."""

    def __init__(
        self, site: CoordinatorSite, *, clock: Callable[[], float] = time.time, stopwatch: Callable[[], float] = time.monotonic
    ) -> None:
        self._site, self._folder, self._clock, self._stopwatch = site, site.folder / "audit", clock, stopwatch
        self._lock = threading.Lock()
        self._verdict: Verdict | None = None
        self._state: tuple[Any, ...] | None = None
        self._due = 0.0

    def page(self, number: int = 1) -> AuditPage:
        """Page ``number`` of the entries, from 1; empty beyond the last one. Raises the error of a roster that cannot be read."""
        key = self._site.current_roster().coordinator
        chosen = max(1, number)
        lines = self._lines(A_PAGE * (chosen - 1))
        shown = tuple(_shown(line, key) for line in lines[:A_PAGE])
        return AuditPage(verdict=self._verified(key), entries=shown, page=chosen, more=len(lines) > A_PAGE)

    def _lines(self, skipped: int) -> list[bytes]:
        """One more line than a page has, beyond the newest ``skipped``."""
        try:
            with (self._folder / LOG_NAME).open("rb") as file:
                return list(itertools.islice(backwards(file), skipped, skipped + A_PAGE + 1))
        except FileNotFoundError:
            return []

    def _verified(self, key: bytes) -> Verdict | None:
        with self._lock:
            state = (key, *(self._mark(name) for name in (LOG_NAME, HEAD_NAME)))
            if state != self._state and self._stopwatch() >= self._due:
                before = self._stopwatch()
                self._verdict, self._state = self._verify(key), state
                took = self._stopwatch() - before
                self._due = self._stopwatch() + max(REST_S, REST_TIMES * took)
            return self._verdict

    def _verify(self, key: bytes) -> Verdict | None:
        try:
            entries = len(verify(self._folder, key).entries)
        except MissingFileError:
            return None
        except AuditError as error:
            return Verdict(whole=False, entries=0, fault=one_line(str(error)), verified_at=self._clock())
        except FedstillError as error:
            return Verdict(whole=False, entries=0, fault=one_line(f"it cannot be read now: {error}"), verified_at=self._clock())
        return Verdict(whole=True, entries=entries, fault="", verified_at=self._clock())

    def _mark(self, name: str) -> tuple[int, int] | None:
        try:
            found = (self._folder / name).stat()
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns


def _shown(line: bytes, key: bytes) -> EntryLine:
    try:
        entry: Entry | None = read_entry(line)
    except (ValueError, TypeError, RecursionError):
        entry = None
    if entry is None:
        about = one_line(line.decode(errors="replace").rstrip("\n"))
        return EntryLine(n=0, time="", kind="not an entry", about=about, fields=(), genuine=False)
    said = [(one_line(str(name)), _value(value)) for name, value in itertools.islice(entry.fields.items(), MOST_FIELDS)]
    short = [
        f"{name} {text}" for name, text in said if text and not isinstance(entry.fields.get(name), dict | list) and len(text) <= _SHORT
    ]
    return EntryLine(
        n=entry.n,
        time=one_line(entry.time),
        kind=one_line(entry.kind),
        about=one_line(", ".join(short)),
        fields=tuple(said),
        genuine=genuine(entry, key),
    )


def _value(value: object) -> str:
    """A field's value for people: texts as they are, names in a row, anything else as JSON."""
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return one_line(", ".join(value))
    return "" if value in ({}, [], None) else one_line(json.dumps(value, ensure_ascii=False))
