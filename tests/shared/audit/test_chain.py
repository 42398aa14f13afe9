"""A line is one sequence of bytes, its owner's, and nobody else's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from shared.audit.chain import BEFORE_THE_FIRST, Entry, Head, genuine, institution_side, read_entry, read_head, signed, signed_head, stamp

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def entry(**fields: object) -> Entry:
    return Entry(1, stamp(0.0), institution_side("ash"), "answered", fields, BEFORE_THE_FIRST)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_a_line_reads_back_and_is_one_line(fields: dict[str, object]) -> None:
    made = signed(entry(**{"it": fields}), KEY)
    line = made.line()
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert read_entry(line) == made
    assert genuine(made, PUBLIC)


def test_every_byte_of_a_line_counts() -> None:
    line = signed(entry(round=3), KEY).line()
    for place in range(len(line)):
        changed = line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :]
        try:
            found = read_entry(changed)
        except ValueError:
            continue
        assert not genuine(found, PUBLIC), changed


@pytest.mark.parametrize("line", [b"", b"{}\n", b"[]\n", b"null\n", b"7\n", b'{"n":1}\n'])
def test_what_is_no_line_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"not the keys|Expecting"):
        read_entry(line)
    with pytest.raises(ValueError, match=r"not the keys|Expecting"):
        read_head(line)


def test_a_signature_is_written_in_one_way_only() -> None:
    made = signed(entry(), KEY)
    assert not genuine(replace(made, signature=made.signature.upper()), PUBLIC)
    assert not genuine(replace(made, signature=made.signature + " "), PUBLIC)


def test_the_same_entry_written_otherwise_is_no_line() -> None:
    line = signed(entry(round=3), KEY).line()
    with pytest.raises(ValueError, match="as it is written"):
        read_entry(line.replace(b":", b": "))


@pytest.mark.parametrize("odd", [True, 1.0, ["ash"], {"a": 1}, None])
@pytest.mark.parametrize("name", ["n", "time", "side", "kind", "previous"])
def test_a_line_of_other_types_is_no_line_although_it_is_signed(name: str, odd: object) -> None:
    changed: dict[str, Any] = {name: odd}
    made = signed(replace(entry(), **changed), KEY)
    with pytest.raises(ValueError, match="as it is written"):
        read_entry(made.line())


@pytest.mark.parametrize("odd", [Head(["a"], 1), Head("a", True), Head("a", 1, 7)])  # type: ignore[arg-type]
def test_a_head_of_other_types_is_no_head_although_it_is_signed(odd: Head) -> None:
    with pytest.raises(ValueError, match="as it is written"):
        read_head(signed_head(odd, KEY).line())


def test_a_head_is_no_entry_s_signature_and_is_its_owner_s() -> None:
    head = signed_head(Head("coordinator", 3, "ab"), KEY)
    assert read_head(head.line()) == head
    assert genuine(head, PUBLIC)
    assert not genuine(Head("coordinator", 4, "ab", head.signature), PUBLIC)
    assert not genuine(head, Ed25519PrivateKey.generate().public_key().public_bytes_raw())


def test_an_institution_called_coordinator_is_not_the_coordinator() -> None:
    assert institution_side("coordinator") != "coordinator"


def test_times_are_utc() -> None:
    assert stamp(0.0005) == "1970-01-01T00:00:00.000Z"
