"""Asking a run to stop: cleanly between and inside rounds, from a signal handler, a console or another thread."""

from __future__ import annotations

import threading


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop and has: every closed round is kept, and the same run goes on when started again.

    A ``KeyboardInterrupt``, so that a command line ends with exit code 130 (``shared.errors.INTERRUPTED_EXIT_CODE``).
    """


class StopSignal:
    """Set once by anyone; looked at by the run wherever it waits."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Asks the run to stop. Safe in a signal handler."""
        self._event.set()

    def check(self) -> None:
        """Raises :class:`Interrupted` if the run was asked to stop."""
        if self._event.is_set():
            raise Interrupted("the run was asked to stop; the closed rounds are kept")

    def wait(self, seconds: float) -> None:
        """Waits, and raises :class:`Interrupted` as soon as the run is asked to stop."""
        self._event.wait(seconds)
        self.check()
