"""Seconds by named part of a run, so that the report can say where the time went."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Adds up wall-clock seconds by part; parts must not overlap, so that they add up to the whole."""

    def __init__(self, started: float | None = None) -> None:
        """``started`` (``time.monotonic()``) is when the user's wait began, if that was before now: it counts as start-up."""
        now = time.monotonic()
        self._started = now if started is None else started
        self.parts: dict[str, float] = {} if started is None else {"start-up": now - started}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Counts the time within the block towards ``name``."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.parts[name] = self.parts.get(name, 0.0) + time.monotonic() - begun

    @property
    def seconds(self) -> float:
        """Seconds since the stopwatch was made."""
        return time.monotonic() - self._started
