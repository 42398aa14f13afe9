"""When something that a page shows has changed: one look at the store and the folder for all streams, and a bound on their number."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from server.console.bounded import STREAM_S
from server.console.federation import service_status
from server.site import CoordinatorSite
from server.superlink import CoordinatorFolder
from shared.errors import FedstillError

LOOK_S = 1.0
"""Seconds between two looks, however many streams there are."""
BEAT_S = 15.0
"""Seconds after which a stream in which nothing happens says so."""
MOST_STREAMS, MOST_OF_ONE = 16, 4
"""Streams at a time, of all and of one session."""


class Pulse:
    """Looks at what pages are made of, at most once in ``look_s`` seconds."""

    def __init__(self, site: CoordinatorSite, *, look_s: float = LOOK_S) -> None:
        self._site, self.look_s = site, look_s
        self._looking, self._looked, self._state = asyncio.Lock(), float("-inf"), ""

    async def state(self) -> str:
        """A short text that is another one after a change; the last one where the store or the folder cannot be read now."""
        async with self._looking:
            if time.monotonic() - self._looked >= self.look_s:
                with contextlib.suppress(FedstillError, OSError):
                    self._state = await asyncio.to_thread(self._look)
                self._looked = time.monotonic()
            return self._state

    def _look(self) -> str:
        home = CoordinatorFolder(self._site.folder)
        status = service_status(home)
        places = (home.roster, home.enrolment / "invitations", home.enrolment / "certificates", home.folder / "audit" / "head.json")
        seen = (self._site.store.span().newest, status.state, status.run, status.online, *map(_changed, places))
        return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


class Streams:
    """How many streams are open, of all and of each session."""

    def __init__(self, most: int = MOST_STREAMS, most_of_one: int = MOST_OF_ONE) -> None:
        self._most, self._most_of_one = most, most_of_one
        self._open: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def place(self, owner: str) -> AsyncIterator[bool]:
        """A place for one more of ``owner``'s streams, for as long as the block runs; False where there is none."""
        if self._open.total() >= self._most or self._open[owner] >= self._most_of_one:
            yield False
            return
        self._open[owner] += 1
        try:
            yield True
        finally:
            self._open[owner] -= 1
            self._open += Counter()  # names without a stream are forgotten


async def beats(pulse: Pulse, holds: Callable[[], bool], *, stream_s: float = STREAM_S, beat_s: float = BEAT_S) -> AsyncIterator[bytes]:
    """Server-sent events: ``changed`` with the new state, the first at once, for ``stream_s`` or until the session no longer ``holds``."""
    began = said = time.monotonic()
    seen: str | None = None
    while holds() and time.monotonic() - began < stream_s:
        state = await pulse.state()
        if state != seen:
            seen, said = state, time.monotonic()
            yield f"event: changed\ndata: {state}\n\n".encode()
        elif time.monotonic() - said >= beat_s:
            said = time.monotonic()
            yield b": nothing new\n\n"
        await asyncio.sleep(pulse.look_s)


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
