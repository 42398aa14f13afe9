"""What others wrote, fit for a terminal and a log."""

from __future__ import annotations

LONGEST_LINE = 1000
"""Characters of :func:`one_line`; what follows is cut off."""


def one_line(text: str) -> str:
    """One line, bounded: whatever is not printable (an escape that moves a cursor, half of a surrogate pair) becomes U+FFFD."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[:LONGEST_LINE])
