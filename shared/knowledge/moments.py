"""Times as whole numbers: what a cell says, and how long a window is."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from shared.errors import KnowledgeError

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
"""Seconds in the units of a window."""
DAY = UNITS["d"]
_WINDOW = re.compile(r"(\d{1,18})([smhdw]?)")


class Clock:
    """Reads the times of one column: whole numbers of any unit, or ISO 8601 dates and times, as seconds since 1970 (UTC, where a time
    names no zone; fractions of a second are cut off).

    The first time that can be read decides which of the two the column holds; the other form is then no time.
    """

    def __init__(self) -> None:
        self.dated: bool | None = None

    def read(self, cell: str) -> int:
        """The time that ``cell`` says. Raises ``ValueError`` for what is none, or of the other form."""
        text = cell.strip()
        number, dated = _number(text), False
        if number is None:
            number, dated = _seconds(text), True
        if self.dated is None:
            self.dated = dated
        if dated != self.dated:
            raise ValueError(
                f"a time is a {'date' if dated else 'number'} where the column began with {'dates' if self.dated else 'numbers'}"
            )
        return number


def window_length(text: str | None, *, dated: bool) -> int:
    """The length of a window: ``7d``, ``12h``, or a whole number of the column's units; left out: a day where the column holds dates, else
    one unit. A unit stands for seconds, so a column of numbers must count seconds to be given one.

    Raises :class:`KnowledgeError` for what is no length.
    """
    if text is None:
        return DAY if dated else 1
    match = _WINDOW.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        raise KnowledgeError(f"the window '{text[:40]}' is no length; give a number above 0, or one with s, m, h, d or w, as in 7d")
    return int(match[1]) * UNITS.get(match[2], 1)


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _seconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("a time is a whole number or an ISO 8601 date") from None
    return int((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp() // 1)
