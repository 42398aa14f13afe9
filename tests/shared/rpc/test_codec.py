"""The wire: everything survives it, and whatever is not a message is a ProtocolError and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import ProtocolError
from shared.rpc.codec import LARGEST_HEADER, from_wire, join_masked, open_request, seal_request, split_masked, to_wire
from shared.secagg.errors import ForgedMessage
from shared.secagg.messages import (
    Agreement,
    AgreeRequest,
    EpochKey,
    Layout,
    Masked,
    OpenRequest,
    Plan,
    Shares,
    TrainRequest,
    UnmaskRequest,
)

PLAN = Plan(
    run="heart-7",
    epoch=2,
    round=9,
    roster_digest=b"r" * 32,
    keys_digest=b"k" * 32,
    cohort=("a", "b", "c"),
    threshold=3,
    share_threshold=2,
    collusion=1,
    layout=Layout(update_words=5, counters=2),
    clip_norm=2.5,
    weight_cap=300,
    body=b'{"kind":"train"}',
    blob_digest=b"d" * 32,
    degree=4,
    smallest_cohort=3,
    rotation=True,
    noise=1.5,
    count_noise=0.5,
    fragments={"b": ((0, 2), (4, 5))},
)
KEY = EpochKey("a", "heart-7", 2, b"r" * 32, b"p" * 32, b"s" * 64)
MESSAGES = [
    OpenRequest("heart-7", 2, b"r" * 32),
    KEY,
    TrainRequest(PLAN, (KEY,)),
    TrainRequest(PLAN),
    AgreeRequest(PLAN, ("a", "b")),
    Agreement("a", b"c" * 32, ("a", "b"), b"s" * 64),
    UnmaskRequest(PLAN, ("a", "b"), {"a": b"s" * 64, "b": b"t" * 64}, {"b": b"sealed"}),
    Shares("a", b"c" * 32, {"a": b"1" * 32, "b": b"2" * 32}, {("a", "c"): b"3" * 32, ("b", "c"): b"4" * 32}, b"s" * 64),
]
KINDS: list[Any] = sorted({type(message) for message in MESSAGES}, key=lambda kind: kind.__name__)
MASKED = Masked(
    institution="a",
    context=b"c" * 32,
    update=np.array([0, 1, 258, 65_535, 7], np.uint16),
    counters=np.array([1, 2**64 - 1, 3, 4], np.uint64),
    shares={"b": b"to b", "c": b"to c"},
    commitments={"": b"0" * 32, "b": b"1" * 32, "c": b"2" * 32},
    agreement=b"g" * 64,
    signature=b"s" * 64,
)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_message_survives_the_wire(message: Any) -> None:
    assert from_wire(type(message), to_wire(message)) == message


def test_equal_messages_are_equal_bytes_whatever_the_order_of_their_maps() -> None:
    other = UnmaskRequest(PLAN, ("a", "b"), {"b": b"t" * 64, "a": b"s" * 64}, {"b": b"sealed"})
    assert to_wire(other) == to_wire(MESSAGES[6])


def test_a_masked_answer_survives_the_wire_as_header_and_blob() -> None:
    header, blob = split_masked(MASKED)
    assert len(blob) == 5 * 2 + 4 * 8
    again = join_masked(header, blob)
    assert again.update.dtype == np.uint16
    assert again.update.tolist() == MASKED.update.tolist()
    assert again.counters.tolist() == MASKED.counters.tolist()
    assert (again.shares, again.commitments, again.signature) == (MASKED.shares, MASKED.commitments, MASKED.signature)


@pytest.mark.parametrize("cut", [0, 1, 10, 41, 43])
def test_a_declared_length_is_not_trusted(cut: int) -> None:
    header, blob = split_masked(MASKED)
    with pytest.raises(ProtocolError, match="5 words and 4 counters"):
        join_masked(header, (blob + b"x")[:cut])


def test_an_absurd_declared_length_allocates_nothing() -> None:
    from shared.rpc import secagg_pb2 as pb

    header = pb.MaskedHeader(institution="a", update_words=2**62, width=16, counters=2**60).SerializeToString()
    with pytest.raises(ProtocolError, match="declares"):
        join_masked(header, b"")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=400))
def test_garbage_is_a_protocol_error(kind: Any, content: bytes) -> None:
    try:
        message = from_wire(kind, content)
    except ProtocolError:
        return
    assert isinstance(message, kind)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_changed_byte_is_another_message_or_a_protocol_error(message: Any, data: st.DataObject) -> None:
    content = bytearray(to_wire(message))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    try:
        changed = from_wire(type(message), bytes(content))
    except ProtocolError:
        return
    assert changed != message or to_wire(changed) == to_wire(message)


@settings(max_examples=300, deadline=None)
@given(header=st.binary(max_size=200), blob=st.binary(max_size=64))
def test_garbage_is_no_masked_answer(header: bytes, blob: bytes) -> None:
    try:
        masked = join_masked(header, blob)
    except ProtocolError:
        return
    assert masked.update.nbytes + masked.counters.nbytes == len(blob)


def test_an_oversized_header_is_not_looked_at() -> None:
    with pytest.raises(ProtocolError, match="larger than the largest header"):
        from_wire(OpenRequest, bytes(LARGEST_HEADER + 1))


def test_a_request_is_its_coordinator_s_and_of_its_kind() -> None:
    coordinator, stranger = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    sealed = seal_request("train", b"body", coordinator)
    assert open_request("train", sealed, coordinator.public_key().public_bytes_raw()) == b"body"
    with pytest.raises(ForgedMessage):
        open_request("unmask", sealed, coordinator.public_key().public_bytes_raw())
    with pytest.raises(ForgedMessage):
        open_request("train", sealed, stranger.public_key().public_bytes_raw())
    with pytest.raises(ProtocolError):
        open_request("train", b"\xff\xff", coordinator.public_key().public_bytes_raw())
