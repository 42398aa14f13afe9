"""A genuine line may hold anything: what is not as it should be is said, with the line's number and without its content."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared.audit.chain import BEFORE_THE_FIRST, Entry
from shared.audit.fields import number, table, tables, text, texts, whole
from shared.errors import AuditError

ODD: list[object] = [None, True, "x", 7, 2.5, 2**70, ["x"], [{}], [7], {"a": 1}]
READERS: list[tuple[Callable[[Entry, str], object], list[object]]] = [
    (text, ["x"]),
    (whole, [7]),
    (number, [7, 2.5]),
    (texts, [["x"]]),
    (table, [{"a": 1}]),
    (tables, [[{}]]),
]


def entry(**fields: object) -> Entry:
    return Entry(3, "t", "institution/\x1b[2Jash", "answ\nered", fields, BEFORE_THE_FIRST)


@pytest.mark.parametrize(("read", "fit"), READERS)
def test_only_what_it_should_be_is_read(read: Callable[[Entry, str], object], fit: list[object]) -> None:
    for value in ODD:
        if value in fit and not isinstance(value, bool):
            assert read(entry(it=value), "it") in (value, tuple(value) if isinstance(value, list) else value)
            continue
        with pytest.raises(AuditError, match=r"line 3 of the audit of institution/.*its field 'it' is missing") as caught:
            read(entry(it=value), "it")
        assert str(caught.value).isprintable()
    with pytest.raises(AuditError, match="'it' is missing"):
        read(entry(), "it")


def test_an_empty_list_is_a_list_of_either() -> None:
    assert texts(entry(it=[]), "it") == ()
    assert tables(entry(it=[]), "it") == ()
