"""A typed value has one encoding, comes back from it as it was, and takes nothing that it does not know."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from shared.frozen import Frozen


class Part(Frozen):
    name: str
    size: float = 0.0


class Whole(Frozen):
    zeta: int
    alpha: tuple[Part, ...] = ()
    notes: dict[str, str] = Field(default_factory=dict)


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
PARTS = st.builds(Part, name=st.text(), size=FLOATS)
WHOLES = st.builds(
    Whole, zeta=st.integers(), alpha=st.lists(PARTS, max_size=3).map(tuple), notes=st.dictionaries(st.text(), st.text(), max_size=3)
)


@given(WHOLES)
def test_the_canonical_bytes_hold_the_value(value: Whole) -> None:
    assert Whole.parse(value.canonical()) == value
    assert Whole.parse(value.canonical()).canonical() == value.canonical()


@given(WHOLES, st.randoms(use_true_random=False))
def test_equal_values_have_equal_bytes_however_they_were_written(value: Whole, random: object) -> None:
    def shuffled(table: dict[str, object]) -> dict[str, object]:
        items = list(table.items())
        random.shuffle(items)  # type: ignore[attr-defined]
        return dict(items)

    table = value.model_dump(mode="json")
    written = json.dumps(shuffled(table | {"notes": shuffled(table["notes"])}), indent=3)
    assert Whole.parse(written.encode()).canonical() == value.canonical()


@given(WHOLES, WHOLES)
def test_other_values_have_other_bytes(one: Whole, other: Whole) -> None:
    assert (one.canonical() == other.canonical()) == (one == other)


def test_the_form_is_the_one_that_is_signed_and_does_not_change() -> None:
    value = Whole(zeta=1, alpha=(Part(name="Zürich\n", size=0.5),), notes={"b": "2", "a": "1"})
    assert value.canonical().decode() == '{"alpha":[{"name":"Zürich\\n","size":0.5}],"notes":{"a":"1","b":"2"},"zeta":1}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[1]",
        b"\xff\xfe",
        b'{"zeta":1,"zeta2":2}',
        b'{"zeta":1,"alpha":[{"name":"a","siez":1}]}',
        b'{"zeta":1,"alpha":[{"name":"a","size":NaN}]}',
        b'{"zeta":1,"alpha":[{"name":"a","size":Infinity}]}',
        b'{"zeta":1.5}',
        b'{"zeta":1} trailing',
    ],
)
def test_what_is_no_such_value_is_refused(content: bytes) -> None:
    with pytest.raises(ValidationError):
        Whole.parse(content)


def test_a_value_cannot_be_changed() -> None:
    value = Whole(zeta=1)
    with pytest.raises(ValidationError):
        value.zeta = 2  # type: ignore[misc]
    assert value.model_copy(update={"zeta": 2}).zeta == 2
    assert value.zeta == 1
