"""An answer taken apart: nothing of it is left out, and nothing that is no answer is described as one."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.leaving import items, refusal_items
from shared.errors import ProtocolError
from shared.exchange import MessageKind, Refusal, Reply
from shared.rpc.codec import to_wire
from shared.secagg.messages import Agreement, EpochKey, Shares
from shared.task import NumericColumn, TabularTask

TASK = TabularTask(family="tabular", label="ill", labels=("no", "yes"), columns=(NumericColumn(name="age"),))
SMALL: dict[MessageKind, bytes] = {
    "open": to_wire(EpochKey("ash", "trial", 1, b"r" * 32, b"k" * 32, b"s" * 64)),
    "agree": to_wire(Agreement("ash", b"c" * 32, ("ash", "elm"), b"s" * 64)),
    "unmask": to_wire(Shares("ash", b"c" * 32, {"ash": b"1" * 32, "elm": b"2" * 32}, {("ash", "fir"): b"3" * 32}, b"s" * 64)),
}
NAMES: dict[MessageKind, list[tuple[str, int, int]]] = {
    "open": [("epoch-key", 1, 32), ("signature", 1, 64)],
    "agree": [("survivors", 2, 6), ("signature", 1, 64)],
    "unmask": [("self-mask-shares", 2, 64), ("pair-mask-shares", 1, 32), ("signature", 1, 64)],
}


@pytest.mark.parametrize("kind", list(SMALL))
def test_messages_without_vectors_are_clear_and_add_up(kind: MessageKind) -> None:
    reply = Reply(SMALL[kind])
    found = items(kind, reply, None, None, TASK)
    assert [(item["name"], item["count"], item["bytes"]) for item in found[:-1]] == NAMES[kind]
    assert {item["form"] for item in found} == {"clear"}
    assert (found[-1]["name"], found[-1]["sha256"]) == ("envelope", hashlib.sha256(reply.header).hexdigest())
    assert sum(item["bytes"] for item in found) == len(reply.header)


@given(st.text(), st.text())
def test_a_refusal_is_its_two_texts(code: str, reason: str) -> None:
    (item,) = refusal_items(Refusal(code, reason))
    assert item["bytes"] == len((code + reason).encode())
    assert item["form"] == "clear"


def test_what_is_no_answer_is_none() -> None:
    with pytest.raises(ProtocolError):
        items("unmask", Reply(b"\xff\xff"), None, None, TASK)
