"""What an active coordinator may try in Agree and Unmask: other sets, moved shares, both kinds of share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared.secagg.coordinator import CoordinatorRound
from shared.secagg.errors import EquivocatedSet, ForgedMessage, IllegalPlan, ReplayedRound, UnprovenSet, WrongRoster, WrongShare
from shared.secagg.messages import AgreeRequest, UnmaskRequest
from shared.secagg.signing import agreement_bytes, round_context, sign
from tests.support.secagg import NAMES, Federation, assert_sum, flipped, identity

SURVIVORS = NAMES[:4]


@pytest.fixture
def federation() -> Federation:
    return Federation()


@pytest.fixture
def made(federation: Federation) -> CoordinatorRound:
    """A round in which elm was lost and the rest agreed."""
    made = federation.masked(federation.plan(1), lost=["elm"])
    federation.agree(made)
    return made


def refused(federation: Federation, request: UnmaskRequest | AgreeRequest, error: type[Exception], sentence: str) -> None:
    ash = federation.institutions["ash"]
    before = ash.export()
    with pytest.raises(error, match=sentence):
        ash.unmask(request) if isinstance(request, UnmaskRequest) else ash.agree(request)
    assert ash.export() == before


@pytest.mark.parametrize(
    ("survivors", "error", "sentence"),
    [
        (NAMES[1:], EquivocatedSet, "it is not in the set itself"),
        (NAMES[:3], IllegalPlan, "3 survivors are fewer than 4"),
        ((), EquivocatedSet, "it is not in the set itself"),
        (("ash", "birch", "cedar", "mallory"), EquivocatedSet, "not a set of names within the cohort"),
        (("birch", "ash", "cedar", "elm"), EquivocatedSet, "not a set of names"),
        (("ash", "ash", "birch", "cedar"), EquivocatedSet, "not a set of names"),
        (
            ("ash", "birch", "cedar", "elm"),
            EquivocatedSet,
            "has signed the surviving set ash, birch, cedar, dogwood for round 1 and refuses",
        ),
    ],
)
def test_other_surviving_sets(
    federation: Federation, made: CoordinatorRound, survivors: tuple[str, ...], error: type[Exception], sentence: str
) -> None:
    refused(federation, AgreeRequest(federation.plan(1), survivors), error, sentence)
    refused(federation, replace(made.unmask_request("ash"), survivors=survivors), error, sentence)


def test_a_set_below_the_institutions_own_smallest_cohort() -> None:
    federation = Federation(policy=replace(Federation().policy, smallest_cohort=5))
    made = federation.masked(federation.plan(1), lost=["elm"])
    with pytest.raises(IllegalPlan, match="4 survivors are fewer than 5"):
        federation.institutions["ash"].agree(made.agree_request())


def test_rounds_that_were_not_masked_or_with_another_plan(federation: Federation, made: CoordinatorRound) -> None:
    request = made.unmask_request("ash")
    for plan in (federation.plan(2), federation.plan(1, body=b"other"), federation.plan(1, threshold=5)):
        refused(federation, replace(request, plan=plan), ReplayedRound, "has not masked round")
        refused(federation, AgreeRequest(plan, SURVIVORS), ReplayedRound, "has not masked round")


def test_an_earlier_round_is_closed_for_ever(federation: Federation, made: CoordinatorRound) -> None:
    federation.mask(federation.plan(2), "ash")
    refused(federation, made.unmask_request("ash"), ReplayedRound, "has not masked round 1 with this plan; its last is round 2")


def test_too_few_signatures_and_those_of_others(federation: Federation, made: CoordinatorRound) -> None:
    request = made.unmask_request("ash")
    fewer = {name: request.agreements[name] for name in SURVIVORS[:3]}
    refused(federation, replace(request, agreements=fewer), UnprovenSet, "3 signatures over the surviving set, 4 are needed")
    content = agreement_bytes(round_context(request.plan), request.survivors)
    with_lost = {**fewer, "elm": sign(identity("elm"), content)}
    refused(federation, replace(request, agreements=with_lost), UnprovenSet, "'elm' signed .* without being in it")
    copied = {**request.agreements, "birch": request.agreements["ash"]}
    refused(federation, replace(request, agreements=copied), ForgedMessage, "the agreement on round 1 of 'birch'")


def test_the_whole_cohort_needs_every_signature(federation: Federation) -> None:
    made = federation.masked(federation.plan(1))
    request = made.unmask_request("ash")
    fewer = {name: request.agreements[name] for name in NAMES[:4]}
    refused(federation, replace(request, agreements=fewer), UnprovenSet, "4 signatures over the surviving set, 5 are needed")


def test_signatures_of_another_round_or_set(federation: Federation, made: CoordinatorRound) -> None:
    request = made.unmask_request("ash")
    for content in (
        agreement_bytes(round_context(federation.plan(2)), SURVIVORS),
        agreement_bytes(round_context(request.plan), NAMES),
        agreement_bytes(round_context(request.plan), ("ash", "birchcedar", "dogwood")),
    ):
        agreements = {name: sign(identity(name), content) for name in SURVIVORS}
        refused(federation, replace(request, agreements=agreements), ForgedMessage, "the agreement on round 1 of 'ash'")


def test_both_kinds_of_share_for_one_institution(federation: Federation, made: CoordinatorRound) -> None:
    request = made.unmask_request("ash")
    shares = federation.institutions["ash"].unmask(request)
    # For survivors the self-mask alone, for the lost the pair seeds alone: no institution is on both sides.
    assert set(shares.self_shares) == set(SURVIVORS)
    assert {lost for _, lost in shares.pair_shares} == {"elm"}
    # And asking again for the other kind is asking twice.
    refused(federation, request, ReplayedRound, "has given its shares for round 1 already")
    whole = {name: sign(identity(name), agreement_bytes(round_context(request.plan), NAMES)) for name in NAMES}
    refused(federation, replace(request, survivors=NAMES, agreements=whole), ReplayedRound, "has given its shares for round 1 already")
    refused(federation, AgreeRequest(request.plan, ("ash", "birch", "cedar", "elm")), ReplayedRound, "has given its shares")


def test_a_share_moved_to_another_receiver(federation: Federation, made: CoordinatorRound) -> None:
    request, other = made.unmask_request("ash"), made.unmask_request("birch")
    moved = {**request.shares, "cedar": other.shares["cedar"]}
    refused(federation, replace(request, shares=moved), WrongShare, "'cedar' is said to have sealed to 'ash' does not open")


def test_a_share_of_another_sender_or_round(federation: Federation, made: CoordinatorRound) -> None:
    request = made.unmask_request("ash")
    exchanged = {**request.shares, "cedar": request.shares["birch"]}
    refused(federation, replace(request, shares=exchanged), WrongShare, "'cedar'")
    later = federation.masked(federation.plan(2), lost=["elm"])
    federation.agree(later)
    old = {**later.unmask_request("ash").shares, "cedar": request.shares["cedar"]}
    refused(federation, replace(later.unmask_request("ash"), shares=old), WrongShare, "'cedar' .* does not open in this round")


@pytest.mark.parametrize("change", ["missing", "own", "lost", "empty", "short"])
def test_shares_that_are_not_those_of_the_other_survivors(federation: Federation, made: CoordinatorRound, change: str) -> None:
    request = made.unmask_request("ash")
    shares: dict[str, Any] = {
        "missing": {name: request.shares[name] for name in ("birch", "cedar")},
        "own": {**request.shares, "ash": request.shares["birch"]},
        "lost": {**request.shares, "elm": request.shares["birch"]},
        "empty": {**request.shares, "cedar": b""},
        "short": {**request.shares, "cedar": request.shares["cedar"][:-1]},
    }
    refused(federation, replace(request, shares=shares[change]), WrongShare, "ash")


def test_an_agreement_in_the_name_of_a_stranger(federation: Federation, made: CoordinatorRound) -> None:
    request = made.unmask_request("ash")
    agreements = {**request.agreements, "mallory": sign(identity("mallory"), b"")}
    refused(federation, replace(request, agreements=agreements), UnprovenSet, "'mallory'")


def test_a_roster_member_that_was_removed_signs_for_nobody(federation: Federation) -> None:
    members = {name: key for name, key in federation.roster.members.items() if name != "elm"}
    with pytest.raises(WrongRoster):
        Federation(tuple(members)).institutions["ash"].check(federation.plan(), federation.keys)


@pytest.mark.parametrize("part", ["agreements", "shares"])
def test_a_flipped_bit_in_anything_that_is_relayed(federation: Federation, made: CoordinatorRound, part: str) -> None:
    request = made.unmask_request("ash")
    relayed = getattr(request, part)
    for name, content in relayed.items():
        for bit in range(0, 8 * len(content), 61):
            changed: dict[str, Any] = {part: {**relayed, name: flipped(content, bit)}}
            error = ForgedMessage if part == "agreements" else WrongShare
            refused(federation, replace(request, **changed), error, f"'{name}'")
    # Nothing was spent on the tries: the right request is answered and the round completes.
    federation.unmask(made)
    assert_sum(made.finish(), federation.plan(1), SURVIVORS)
