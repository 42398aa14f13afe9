"""A line's fields as what they should be.

A genuine line may still hold anything: who signs it may not mean well, or be of another release.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from shared.audit.chain import Entry
from shared.errors import AuditError
from shared.printable import one_line


def text(entry: Entry, name: str) -> str:
    """The text that a line's field holds; raises :class:`AuditError` if there is none. So do all functions here."""
    return as_text(entry, name, entry.fields.get(name))


def whole(entry: Entry, name: str) -> int:
    """The whole number that a line's field holds."""
    return as_whole(entry, name, entry.fields.get(name))


def number(entry: Entry, name: str) -> float:
    """The number that a line's field holds."""
    value = entry.fields.get(name)
    return float(value) if isinstance(value, float) else float(as_whole(entry, name, value))


def texts(entry: Entry, name: str) -> tuple[str, ...]:
    """The texts that a line's field lists."""
    value = entry.fields.get(name)
    return tuple(as_text(entry, name, one) for one in value) if isinstance(value, list) else _unfit(entry, name)


def table(entry: Entry, name: str) -> Mapping[str, Any]:
    """The table that a line's field holds, its values unchecked."""
    return as_table(entry, name, entry.fields.get(name))


def tables(entry: Entry, name: str) -> tuple[Mapping[str, Any], ...]:
    """The tables that a line's field lists, their values unchecked."""
    value = entry.fields.get(name)
    return tuple(as_table(entry, name, one) for one in value) if isinstance(value, list) else _unfit(entry, name)


def as_text(entry: Entry, name: str, value: object) -> str:
    """``value``, which stands in the field ``name``, if it is a text."""
    return value if isinstance(value, str) else _unfit(entry, name)


def as_whole(entry: Entry, name: str, value: object) -> int:
    """``value``, which stands in the field ``name``, if it is a whole number that a float can hold."""
    return value if type(value) is int and abs(value) < 2**63 else _unfit(entry, name)


def as_table(entry: Entry, name: str, value: object) -> Mapping[str, Any]:
    """``value``, which stands in the field ``name``, if it is a table."""
    return value if isinstance(value, dict) else _unfit(entry, name)


def _unfit(entry: Entry, name: str) -> NoReturn:
    raise AuditError(
        f"line {entry.n} of the audit of {one_line(entry.side)} is not as this release writes one of kind {one_line(entry.kind)}: "
        f"its field '{name}' is missing or of another form; read it with the release that wrote it"
    )
