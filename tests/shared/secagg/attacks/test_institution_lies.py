"""What a corrupted institution may try: it is named and left out where that can be told, else the round is loudly void."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from shared.secagg.coordinator import CoordinatorRound
from shared.secagg.dealing import SELF
from shared.secagg.errors import ForgedMessage, VoidRound, WrongShare
from shared.secagg.messages import Masked, Shares
from tests.support.secagg import NAMES, Federation, assert_sum, flipped, resigned, resigned_shares


@pytest.fixture
def federation() -> Federation:
    return Federation()


def round_with(
    federation: Federation,
    *,
    masked: dict[str, Callable[[Masked], Masked]] | None = None,
    shares: dict[str, Callable[[Shares], Shares]] | None = None,
    order: tuple[str, ...] = NAMES,
) -> CoordinatorRound:
    """A round in which some institutions change what they send; who is refused is left out."""
    plan = federation.plan(1)
    made = federation.coordinator(plan)
    for name in order:
        answer = federation.mask(plan, name)
        made.add(masked[name](answer) if masked and name in masked else answer)
    made.close()
    federation.agree(made)
    for name in made.agree_request().survivors:
        answered = federation.institutions[name].unmask(made.unmask_request(name))
        made.add_shares(shares[name](answered) if shares and name in shares else answered)
    return made


def test_an_institution_that_lies_about_its_shares_is_named_and_left_out(federation: Federation) -> None:
    def lying(shares: Shares) -> Shares:
        return resigned_shares(shares, self_shares={name: flipped(share, 5) for name, share in shares.self_shares.items()})

    for liar in NAMES:
        federation = Federation()
        aggregate = round_with(federation, shares={liar: lying}).finish()
        assert_sum(aggregate, federation.plan(1), NAMES)
        assert (aggregate.blamed, aggregate.doubted) == ((liar,), ())


def test_one_wrong_share_leaves_open_whether_it_was_dealt_or_given_wrong(federation: Federation) -> None:
    def lying(shares: Shares) -> Shares:
        return resigned_shares(shares, self_shares={**shares.self_shares, "ash": bytes(32)})

    aggregate = round_with(federation, shares={"elm": lying}).finish()
    assert_sum(aggregate, federation.plan(1), NAMES)
    assert (aggregate.blamed, aggregate.doubted) == ((), (("ash", "elm"),))


def test_too_many_liars_void_the_round(federation: Federation) -> None:
    def lying(shares: Shares) -> Shares:
        return resigned_shares(shares, self_shares=dict.fromkeys(shares.self_shares, shares.signature[:32]))

    with pytest.raises(VoidRound, match="too many holders gave wrong ones"):
        round_with(federation, shares={"ash": lying, "elm": lying}).finish()


def test_a_wrong_commitment_to_a_self_mask_is_named(federation: Federation) -> None:
    def lying(masked: Masked) -> Masked:
        return resigned(masked, commitments={**masked.commitments, SELF: bytes(32)})

    with pytest.raises(VoidRound, match="'cedar' committed to another seed than it dealt shares of in round 1"):
        round_with(federation, masked={"cedar": lying}).finish()


def against_everyone(masked: Masked) -> Masked:
    others = {name: flipped(value, 1) for name, value in masked.commitments.items() if name != SELF}
    return resigned(masked, commitments={**masked.commitments, **others})


def test_commitments_that_more_contradict_than_may_lie_are_left_out(federation: Federation) -> None:
    plan = federation.plan(1)
    made = federation.coordinator(plan)
    for name in ("ash", "birch"):
        made.add(federation.mask(plan, name))
    with pytest.raises(WrongShare, match="'elm' committed to other pair seeds in round 1 than ash, birch did; it is left out"):
        made.add(against_everyone(federation.mask(plan, "elm")))
    for name in ("cedar", "dogwood"):
        made.add(federation.mask(plan, name))
    made.close()
    federation.agree(made)
    federation.unmask(made)
    assert_sum(made.finish(), plan, NAMES[:4])


def test_a_liar_that_comes_first_drives_nobody_out_and_is_named(federation: Federation) -> None:
    aggregate = round_with(federation, masked={"elm": against_everyone}, order=("elm", *NAMES[:4])).finish()
    assert_sum(aggregate, federation.plan(1), NAMES)
    assert aggregate.blamed == ("elm",)


def test_a_vector_under_other_masks_voids_the_round_loudly(federation: Federation) -> None:
    def lying(masked: Masked) -> Masked:
        counters = masked.counters.copy()
        counters[:1] += np.uint64(1)
        return resigned(masked, counters=counters)

    with pytest.raises(VoidRound, match="the control sum of round 1 does not count its 5 survivors"):
        round_with(federation, masked={"birch": lying}).finish()


@pytest.mark.parametrize("more", [500, 2**63, 2**64 - 200])
def test_a_weight_out_of_range_voids_the_round(federation: Federation, more: int) -> None:
    def lying(masked: Masked) -> Masked:
        counters = masked.counters.copy()
        counters[1:2] += np.uint64(more)
        return resigned(masked, counters=counters)

    with pytest.raises(VoidRound, match="outside their legal range"):
        round_with(federation, masked={"birch": lying}).finish()


def test_an_update_that_was_not_clipped_voids_the_round(federation: Federation) -> None:
    def lying(masked: Masked) -> Masked:
        return resigned(masked, update=masked.update + np.uint16(2**15 - 1))

    with pytest.raises(VoidRound, match="beyond what clipped updates can reach"):
        round_with(federation, masked={"birch": lying}).finish()


FIELDS: dict[str, Callable[[Masked, int], dict[str, Any]]] = {
    "context": lambda masked, bit: {"context": flipped(masked.context, bit)},
    "update": lambda masked, bit: {"update": np.frombuffer(flipped(masked.update.tobytes(), bit), masked.update.dtype)},
    "counters": lambda masked, bit: {"counters": np.frombuffer(flipped(masked.counters.tobytes(), bit), np.uint64)},
    "shares": lambda masked, bit: {"shares": {**masked.shares, "elm": flipped(masked.shares["elm"], bit)}},
    "commitments": lambda masked, bit: {"commitments": {**masked.commitments, SELF: flipped(masked.commitments[SELF], bit)}},
    "agreement": lambda masked, bit: {"agreement": flipped(masked.agreement, bit)},
    "signature": lambda masked, bit: {"signature": flipped(masked.signature, bit)},
    "institution": lambda masked, bit: {"institution": NAMES[1 + bit % 4]},
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_flipped_bit_in_a_masked_answer_is_found(federation: Federation, name: str) -> None:
    plan = federation.plan(1)
    masked, made = federation.mask(plan, "ash"), federation.coordinator(plan)
    for bit in range(0, 200, 7):
        with pytest.raises((ForgedMessage, WrongShare)):
            made.add(replace(masked, **FIELDS[name](masked, bit)))
    made.add(masked)


@pytest.mark.parametrize("name", ["context", "signature", "self_shares", "pair_shares", "institution"])
def test_a_flipped_bit_in_given_shares_is_found(federation: Federation, name: str) -> None:
    made = federation.masked(federation.plan(1), lost=["elm"])
    federation.agree(made)
    shares = federation.institutions["ash"].unmask(made.unmask_request("ash"))
    changes: dict[str, Callable[[int], Any]] = {
        "context": lambda bit: flipped(shares.context, bit),
        "signature": lambda bit: flipped(shares.signature, bit),
        "self_shares": lambda bit: {**shares.self_shares, "birch": flipped(shares.self_shares["birch"], bit)},
        "pair_shares": lambda bit: {**shares.pair_shares, ("birch", "elm"): flipped(shares.pair_shares["birch", "elm"], bit)},
        "institution": lambda bit: NAMES[1 + bit % 3],
    }
    for bit in range(0, 200, 7):
        changed: dict[str, Any] = {name: changes[name](bit)}
        with pytest.raises(ForgedMessage):
            made.add_shares(replace(shares, **changed))
    made.add_shares(shares)
