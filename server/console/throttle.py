"""How often something may be tried in a while, by everyone together."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable


class Throttle:
    """At most ``most`` in any ``seconds``. Behind the gateway all callers have one address, so there is one count."""

    def __init__(self, most: int, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._times: deque[float] = deque(maxlen=most)

    def admits(self) -> bool:
        """Whether one more is within the limit; if so it is counted."""
        now = self._clock()
        if len(self._times) == self._times.maxlen and now - self._times[0] < self._seconds:
            return False
        self._times.append(now)
        return True
