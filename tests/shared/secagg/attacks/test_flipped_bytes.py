"""Changing one bit anywhere: every bit of every message, one at a time, is found or changes nothing.

Three kinds of liar. On the way: a request's signature covers all of it, an answer's too. The coordinator itself, which signs
what it likes: what it relays is signed by others, and a plan that it changes for one institution makes this institution's
answer worth nothing in the round that the others are in. A whole run with changed answers, and who is named in it, is in
``tests/server/attacks/test_institutions_lie.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from shared.errors import FedstillError, PolicyRefusal, ProtocolError
from shared.exchange import MessageKind
from shared.rpc.codec import from_wire, join_masked, open_request, seal_request, split_masked, to_wire
from shared.secagg.coordinator import CoordinatorRound
from shared.secagg.errors import EquivocatedSet, ForgedMessage
from shared.secagg.institution import InstitutionEpoch
from shared.secagg.messages import Agreement, AgreeRequest, EpochKey, Masked, OpenRequest, Shares, TrainRequest, UnmaskRequest
from tests.support.secagg import NAMES, Federation, assert_sum, flipped, identity, vector_of

SURVIVORS = NAMES[:4]
WHO = re.compile(r"'[^']+'|round \d+|the (open|train|agree|unmask) request")
"""An institution's name, or the coordinator's request that is meant."""
NO_MESSAGE = re.compile(r"these bytes are no \w+ message|^a \w+ message holds|^a masked answer declares")
"""What the codec says of bytes that are no message at all. It cannot know whose they are; the journal of a round adds it."""


def variants(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Every bit turned over, one at a time."""
    for place in range(8 * len(content)):
        yield place, flipped(content, place)


def says_who(error: FedstillError) -> bool:
    """Whether a refusal is one of the protocol's or the policy's own and names whom or what it refuses."""
    text = str(error)
    if type(error) is ProtocolError:
        return NO_MESSAGE.search(text) is not None
    return isinstance(error, (ProtocolError, PolicyRefusal)) and WHO.search(text) is not None


@dataclass
class Tally:
    """How the tries ended. A test whose tries were never refused, or all for one reason, has tried the wrong thing."""

    refused: dict[str, int]
    same: int = 0
    worthless: int = 0


def try_all(content: bytes, act: Callable[[bytes], bool | None]) -> Tally:
    """``act`` raises, or says whether the message was the same (``True``) or its answer worth nothing (``False``)."""
    tally = Tally({})
    for place, changed in variants(content):
        outcome = attempt(act, changed)
        assert outcome is not None, f"bit {place} was changed and the message accepted"
        if isinstance(outcome, FedstillError):
            assert says_who(outcome), f"bit {place}: {outcome!r}"
            tally.refused[type(outcome).__name__] = tally.refused.get(type(outcome).__name__, 0) + 1
        else:
            tally.same += outcome
            tally.worthless += not outcome
    return tally


def attempt(act: Callable[[bytes], bool | None], content: bytes) -> FedstillError | bool | None:
    try:
        return act(content)
    except FedstillError as error:
        return error


@pytest.fixture
def federation() -> Federation:
    return Federation()


@pytest.fixture
def made(federation: Federation) -> CoordinatorRound:
    """A round in which elm was lost; nobody has agreed yet."""
    return federation.masked(federation.plan(1), lost=["elm"])


def again(federation: Federation, name: str = "ash") -> Callable[[], InstitutionEpoch]:
    """An institution as it is now, as often as it is wanted."""
    state, member = federation.institutions[name].export(), federation.identities[name]
    return lambda: InstitutionEpoch.restore(state, identity=member, roster=federation.roster, policy=federation.policy)


# On the way to an institution


@pytest.mark.parametrize("kind", ["open", "train", "agree", "unmask"])
def test_a_request_that_was_changed_on_its_way(kind: MessageKind, federation: Federation, made: CoordinatorRound) -> None:
    federation.agree(made)
    bodies: dict[MessageKind, Any] = {
        "open": OpenRequest("trial", 2, federation.roster.digest),
        "train": TrainRequest(federation.plan(2), federation.keys),
        "agree": made.agree_request(),
        "unmask": made.unmask_request("ash"),
    }
    body = to_wire(bodies[kind])
    sealed = seal_request(kind, body, identity("coordinator"))

    def act(changed: bytes) -> bool | None:
        return open_request(kind, changed, federation.roster.coordinator) == body or None

    tally = try_all(sealed, act)
    assert tally.refused["ForgedMessage"] > 0.9 * 8 * len(sealed)


# The coordinator signs what it has changed


def test_a_changed_open_request_gives_a_key_that_no_other_institution_takes(federation: Federation) -> None:
    original = OpenRequest(federation.run, federation.epoch, federation.roster.digest)

    def act(changed: bytes) -> bool | None:
        request = from_wire(OpenRequest, changed)
        if request == original:
            return True
        key = federation.open("ash", run=request.run, epoch=request.epoch, roster_digest=request.roster_digest).key
        keys = (key, *federation.keys[1:])
        with pytest.raises(ForgedMessage, match="the key of 'ash' is of epoch"):
            federation.institutions["birch"].check(federation.plan(), keys)
        return False

    tally = try_all(to_wire(original), act)
    assert tally.refused["WrongRoster"] == 8 * 32, "every bit of the digest"
    assert tally.worthless > 0


def test_a_changed_train_request_is_refused_or_its_answer_counts_for_nothing(federation: Federation) -> None:
    plan = federation.plan(1)
    original, fresh, made = TrainRequest(plan, federation.keys), again(federation), federation.coordinator(plan)
    vector = vector_of(plan, "ash")

    def act(changed: bytes) -> bool | None:
        request, ash = from_wire(TrainRequest, changed), fresh()
        ash.check(request.plan, request.keys)
        answer = ash.mask(request.plan, vector.update, vector.weight, vector.counters)
        if request == original:
            return True
        assert request.keys == original.keys, "a changed key was taken for its owner's"
        with pytest.raises(ForgedMessage, match="the answer of 'ash' is not to this plan of round 1"):
            made.add(answer)
        return False

    tally = try_all(to_wire(original), act)
    assert {"ForgedMessage", "IllegalPlan", "LostEpoch", "WrongRoster", "ProtocolError"} <= set(tally.refused)
    assert tally.worthless > 0


def test_a_changed_agree_request_is_refused(federation: Federation, made: CoordinatorRound) -> None:
    original, fresh = made.agree_request(), again(federation)

    def act(changed: bytes) -> bool | None:
        request = from_wire(AgreeRequest, changed)
        agreement = fresh().agree(request)
        if request == original:
            return True
        with pytest.raises(EquivocatedSet):
            made.add_agreement(agreement)
        return False

    tally = try_all(to_wire(original), act)
    assert {"ReplayedRound", "EquivocatedSet", "ProtocolError"} <= set(tally.refused)


def test_a_changed_unmask_request_is_refused(federation: Federation, made: CoordinatorRound) -> None:
    federation.agree(made)
    original, fresh = made.unmask_request("ash"), again(federation)

    def act(changed: bytes) -> bool | None:
        request = from_wire(UnmaskRequest, changed)
        fresh().unmask(request)
        return request == original or None

    tally = try_all(to_wire(original), act)
    assert {"ReplayedRound", "ForgedMessage", "UnprovenSet", "WrongShare", "ProtocolError"} <= set(tally.refused)
    # Nothing was spent on the tries.
    federation.unmask(made)
    assert_sum(made.finish(), federation.plan(1), SURVIVORS)


# On the way to the coordinator, and to the other institutions


def test_a_changed_key_is_refused_by_institutions_and_coordinator(federation: Federation) -> None:
    plan, original = federation.plan(1), federation.keys[1]

    def act(changed: bytes) -> bool | None:
        key = from_wire(EpochKey, changed)
        keys = tuple(key if known == original else known for known in federation.keys)
        if key == original:
            return True
        with pytest.raises(ProtocolError):
            CoordinatorRound(plan, keys, federation.roster)
        again(federation)().check(plan, keys)
        return None

    tally = try_all(to_wire(original), act)
    assert tally.refused["ForgedMessage"] >= 8 * (32 + 64), "every bit of the key and its signature"


def masked_tallies(made: CoordinatorRound, masked: Masked) -> tuple[Tally, Tally]:
    """Every bit of the header, then every bit of the vectors."""
    header, blob = split_masked(masked)

    def add(header: bytes, blob: bytes) -> bool | None:
        answer = join_masked(header, blob)
        if split_masked(answer) == split_masked(masked):
            return True
        made.add(answer)
        return None

    return try_all(header, lambda changed: add(changed, blob)), try_all(blob, lambda changed: add(header, changed))


def test_a_changed_masked_answer_is_left_out(federation: Federation) -> None:
    plan = federation.plan(1)
    made = federation.coordinator(plan)
    masked = federation.mask(plan, "ash")
    in_header, in_blob = masked_tallies(made, masked)
    assert in_blob.refused == {"ForgedMessage": 8 * (masked.update.nbytes + masked.counters.nbytes)}
    assert {"ForgedMessage", "WrongRoster", "ProtocolError"} <= set(in_header.refused)
    made.add(masked)
    for name in SURVIVORS[1:]:
        made.add(federation.mask(plan, name))
    made.close()
    federation.agree(made)
    federation.unmask(made)
    assert_sum(made.finish(), plan, SURVIVORS)


def test_a_changed_agreement_is_left_out(federation: Federation, made: CoordinatorRound) -> None:
    original = federation.institutions["ash"].agree(made.agree_request())

    def act(changed: bytes) -> bool | None:
        agreement = from_wire(Agreement, changed)
        made.add_agreement(agreement)
        return agreement == original or None

    assert {"ForgedMessage", "EquivocatedSet", "WrongRoster", "ProtocolError"} <= set(try_all(to_wire(original), act).refused)


def test_changed_shares_are_left_out(federation: Federation, made: CoordinatorRound) -> None:
    federation.agree(made)
    original = federation.institutions["ash"].unmask(made.unmask_request("ash"))

    def act(changed: bytes) -> bool | None:
        shares = from_wire(Shares, changed)
        if shares == original:
            return True
        made.add_shares(shares)
        return None

    assert {"ForgedMessage", "WrongRoster", "ProtocolError"} <= set(try_all(to_wire(original), act).refused)
    made.add_shares(original)
    federation.unmask(made, silent=["ash"])
    assert_sum(made.finish(), federation.plan(1), SURVIVORS)


def test_the_check_itself_can_fail(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.secagg.coordinator.verify_member", lambda *arguments: None)
    plan = federation.plan(1)
    with pytest.raises(AssertionError, match="was changed and the message accepted"):
        masked_tallies(federation.coordinator(plan), federation.mask(plan, "ash"))
