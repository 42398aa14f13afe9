"""Names of institutions: made from what the data call their sites, or counted where the records are dealt."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 63
_OTHER = re.compile(r"[^a-z0-9]+")


def institution_name(text: str) -> str:
    """The legal name of a site that the data call ``text``: plain lower-case letters, digits and hyphens; '' if none is left.

    ``"VA Long Beach"`` is ``va-long-beach``, ``"Zürich"`` is ``zurich``.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return _OTHER.sub("-", plain).strip("-")[:LONGEST].rstrip("-")


def dealt_names(count: int) -> tuple[str, ...]:
    """``site-1`` to ``site-5``, with leading zeros where there are ten or more, so that they sort as they count."""
    return tuple(f"site-{number:0{len(str(count))}d}" for number in range(1, count + 1))
