"""How quickly a SuperNode asks for work: quickly while a run is on, seldom when nothing has come for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

QUICK_S = 0.2
"""Seconds between two polls while messages come."""
SLOW_S = 2.0
"""Seconds between two polls of an institution that has been idle for :data:`AWAKE_S`."""
AWAKE_S = 300.0
"""Seconds of quick polling after the last message."""
ALIVE_EVERY_S = 5.0
"""Seconds between two touches of the file that says that the connection lives."""


class Pace:
    """Stands in for ``time.sleep`` in a SuperNode.

    A wish to sleep for ``idle_from`` seconds or more means that there was nothing to fetch; a shorter one that a
    message is being worked on. Each call also shows, by touching ``alive``, that the SuperNode is connected.
    """

    def __init__(
        self,
        alive: Path | None = None,
        *,
        idle_from: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._alive = alive
        self._idle_from = idle_from
        self._clock = clock
        self._sleep = sleep
        self._busy_at = clock()
        self._touched_at: float | None = None

    def sleep(self, wished: float) -> None:
        """Sleeps at most ``wished`` seconds: less while there is work."""
        now = self._clock()
        if wished < self._idle_from:
            self._busy_at = now
        self._touch(now)
        self._sleep(min(wished, SLOW_S if now - self._busy_at > AWAKE_S else QUICK_S))

    def _touch(self, now: float) -> None:
        if self._alive is not None and (self._touched_at is None or now - self._touched_at >= ALIVE_EVERY_S):
            self._alive.touch()
            self._touched_at = now
