"""What somebody else said, made fit for a terminal and a log."""

from __future__ import annotations

LONGEST_SENTENCE = 500
"""Characters of it that are shown."""


def one_line(said: str) -> str:
    """One line, bounded, with nothing that moves a cursor: what is not printable becomes U+FFFD."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in said[:LONGEST_SENTENCE])
