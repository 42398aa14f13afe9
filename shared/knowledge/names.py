"""Names of entities and relations: what can be one, and which are near one that is not there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rapidfuzz import process, utils

MAX_NAME = 1_000
"""Characters of a name of an entity or relation; a longer one is a text, not a name."""
SUGGESTED = 3
"""How many near names an error shows."""
NEAR = 60.0
"""What rapidfuzz must find alike, of 100, for a name to be shown as a near one."""


def is_name(text: str) -> bool:
    """Whether ``text`` can be a name: not empty, at most :data:`MAX_NAME` characters, and printable, so that it fits in one cell of a
    table and on one line of a screen.
    """
    return bool(text.strip()) and len(text) <= MAX_NAME and text.isprintable()


def near_names(name: str, names: Iterable[str]) -> list[str]:
    """The names most like ``name``, at most :data:`SUGGESTED`, the nearest first; case and punctuation count for nothing."""
    found = process.extract(name, names, processor=utils.default_process, limit=SUGGESTED, score_cutoff=NEAR)
    return [match for match, *_ in found]


def unknown(where: str, what: str, name: str, names: Sequence[str]) -> str:
    """The sentence that says that ``where`` has no ``what`` called ``name``, and what may have been meant."""
    near = near_names(name[:MAX_NAME], names)
    hint = f"did you mean {' or '.join(repr(one) for one in near)}?" if near else f"it has {', '.join(sorted(names)[:3])}, …"
    return f"{where} has no {what} '{name[:80]}'; {hint}"
