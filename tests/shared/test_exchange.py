"""Each kind of message has a route of its own, and without a reason to ask again every refusal stands."""

from __future__ import annotations

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from shared.exchange import MESSAGE_TYPES, MessageKind, Refusal, never_again


def test_every_kind_has_one_route_and_no_two_share_one() -> None:
    assert tuple(MESSAGE_TYPES) == get_args(MessageKind)
    assert len(set(MESSAGE_TYPES.values())) == len(MESSAGE_TYPES)


@given(st.text(), st.builds(Refusal, st.text(), st.text()))
def test_nobody_is_asked_again_unasked(name: str, refusal: Refusal) -> None:
    assert never_again(name, refusal) is None
