"""What an active coordinator may try in Open and Train: each try is refused with its own error, and changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared.errors import PolicyRefusal
from shared.secagg.errors import ForgedMessage, IllegalPlan, ReplayedRound, WrongRoster
from shared.secagg.keys import public_key
from shared.secagg.messages import EpochKey, Layout, Plan
from shared.secagg.roster import Roster
from shared.secagg.signing import epoch_key_bytes, sign
from tests.support.secagg import NAMES, Federation, Stream, flipped, identity


@pytest.fixture
def federation() -> Federation:
    return Federation()


def refused(federation: Federation, plan: Plan, keys: tuple[EpochKey, ...], error: type[Exception], sentence: str) -> None:
    ash = federation.institutions["ash"]
    before = ash.export()
    with pytest.raises(error, match=sentence):
        ash.check(plan, keys)
    assert ash.export() == before


def own_key(institution: str, signer: str, federation: Federation, **changed: Any) -> EpochKey:
    """A key that the coordinator made, signed by whom it can."""
    unsigned = replace(federation.keys[0], institution=institution, public_key=public_key(Stream("coordinator")(32)), **changed)
    return replace(unsigned, signature=sign(identity(signer), epoch_key_bytes(unsigned)))


def swapped(keys: tuple[EpochKey, ...], name: str, other: EpochKey) -> tuple[EpochKey, ...]:
    return tuple(other if key.institution == name else key for key in keys)


def test_a_swapped_key(federation: Federation) -> None:
    for signer in ("coordinator", "elm"):
        other = own_key("birch", signer, federation)
        refused(federation, federation.plan(), swapped(federation.keys, "birch", other), ForgedMessage, "the epoch key of 'birch'")


def test_a_swapped_key_after_the_first_round(federation: Federation) -> None:
    federation.round(federation.plan(1))
    other = own_key("birch", "birch", federation)  # even if birch's identity helps: the keys of an epoch are pinned
    refused(
        federation,
        federation.plan(2),
        swapped(federation.keys, "birch", other),
        ForgedMessage,
        "other keys for epoch 1 than 'ash' has pinned",
    )


def test_the_own_key_swapped(federation: Federation) -> None:
    other = own_key("ash", "ash", federation)
    refused(federation, federation.plan(), swapped(federation.keys, "ash", other), ForgedMessage, "do not hold the one that 'ash' has made")


def test_one_institutions_key_given_to_another(federation: Federation) -> None:
    birch = federation.keys[1]
    refused(federation, federation.plan(), swapped(federation.keys, "elm", replace(birch, institution="elm")), ForgedMessage, "'elm'")
    twin = replace(birch, institution="elm")
    twin = replace(twin, signature=sign(identity("elm"), epoch_key_bytes(twin)))
    refused(federation, federation.plan(), swapped(federation.keys, "elm", twin), ForgedMessage, "the same public key twice")
    refused(federation, federation.plan(), (*federation.keys, birch), ForgedMessage, "the same institution twice")


def test_a_key_of_small_order_although_its_owner_signed_it(federation: Federation) -> None:
    # Any secret shared with it is zero. It is told before anybody trains for the round.
    weak = replace(federation.keys[1], public_key=bytes(32))
    weak = replace(weak, signature=sign(identity("birch"), epoch_key_bytes(weak)))
    refused(
        federation, federation.plan(), swapped(federation.keys, "birch", weak), ForgedMessage, "the epoch key of 'birch' is not a usable"
    )


@pytest.mark.parametrize("changed", [{"epoch": 0}, {"run": "earlier"}])
def test_a_key_of_another_epoch_or_run(federation: Federation, changed: dict[str, Any]) -> None:
    old = own_key("birch", "birch", federation, **changed)
    refused(federation, federation.plan(), swapped(federation.keys, "birch", old), ForgedMessage, "the key of 'birch' is of epoch")


@pytest.mark.parametrize("name", ["public_key", "signature", "roster_digest"])
def test_a_flipped_bit_in_a_key(federation: Federation, name: str) -> None:
    birch = federation.keys[1]
    for bit in range(0, 8 * len(getattr(birch, name)), 37):
        changed: dict[str, Any] = {name: flipped(getattr(birch, name), bit)}
        other = replace(birch, **changed)
        error = WrongRoster if name == "roster_digest" else ForgedMessage
        refused(federation, federation.plan(), swapped(federation.keys, "birch", other), error, "'birch'")


def test_a_member_who_is_not_on_the_roster(federation: Federation) -> None:
    plan = replace(federation.plan(), cohort=(*NAMES, "mallory"))
    refused(
        federation, plan, (*federation.keys, own_key("mallory", "mallory", federation)), WrongRoster, "mallory, who are not on the pinned"
    )
    refused(
        federation, federation.plan(), (*federation.keys, own_key("mallory", "mallory", federation)), WrongRoster, "'mallory' is not on the"
    )


def test_another_roster(federation: Federation) -> None:
    members = {**federation.roster.members, "mallory": identity("mallory").public_key().public_bytes_raw()}
    other = Roster(members, federation.roster.coordinator)
    refused(federation, federation.plan(roster_digest=other.digest), federation.keys, WrongRoster, "planned for another roster")


def test_a_member_without_a_key(federation: Federation) -> None:
    refused(federation, federation.plan(), federation.keys[:4], IllegalPlan, "no epoch key of elm")


def test_a_replayed_round_and_an_older_one(federation: Federation) -> None:
    plan = federation.plan(5)
    federation.mask(plan, "ash")
    for number in (5, 4, 1):
        refused(federation, federation.plan(number), federation.keys, ReplayedRound, f"refused round {number}: it has masked round 5")


def test_another_plan_for_the_same_round(federation: Federation) -> None:
    federation.mask(federation.plan(1), "ash")
    for changed in ({"body": b"other"}, {"clip_norm": 0.5}, {"cohort": NAMES[:4]}, {"blob_digest": b"\1" * 32}):
        refused(federation, federation.plan(1, **changed), federation.keys, ReplayedRound, "masks a round once")


def test_plans_that_differ_between_institutions_give_nothing(federation: Federation) -> None:
    # Every institution is shown another model. The masks do not cancel and no answer fits the other plan.
    plan, other = federation.plan(1), federation.plan(1, blob_digest=b"\1" * 32)
    answers = [federation.mask(plan if name < "c" else other, name) for name in NAMES]
    made = federation.coordinator(plan)
    for answer in answers:
        if answer.institution < "c":
            made.add(answer)
        else:
            with pytest.raises(ForgedMessage, match="is not to this plan of round 1"):
                made.add(answer)


@pytest.mark.parametrize("threshold", [-1, 0, 1, 2, 3])
def test_a_lowered_threshold(federation: Federation, threshold: int) -> None:
    # The coordinator claims a lower collusion bound to make it look right; the institution's own counts.
    plan = federation.plan(threshold=threshold, collusion=0)
    refused(federation, plan, federation.keys, IllegalPlan, "threshold")


def test_a_threshold_for_the_coordinators_bound_only() -> None:
    federation = Federation(tuple(f"i{index}" for index in range(6)))
    plan = federation.plan(collusion=0, threshold=4)
    federation.institutions["i0"].check(plan, federation.keys)  # 2t = 8 > 6 + 1
    strict = Federation(federation.names, replace(federation.policy, collusion=2))
    with pytest.raises(IllegalPlan, match="2 colluding institutions open an update; at least 5 is needed"):
        strict.institutions["i0"].check(strict.plan(collusion=0, threshold=4), strict.keys)


def test_an_unreachable_threshold(federation: Federation) -> None:
    refused(federation, federation.plan(threshold=6), federation.keys, IllegalPlan, "a threshold of 6 does not go with a cohort of 5")


@pytest.mark.parametrize("cohort", [("ash", "birch"), ("ash",), ()])
def test_a_cohort_that_hides_nobody(federation: Federation, cohort: tuple[str, ...]) -> None:
    plan = replace(federation.plan(), cohort=cohort, threshold=2, share_threshold=2, collusion=0)
    error = PolicyRefusal if len(cohort) == 2 else IllegalPlan
    refused(federation, plan, federation.keys, error, "cohort")


def test_a_policy_that_would_hide_nobody_is_stricter_than_it_says() -> None:
    federation = Federation(policy=replace(Federation().policy, smallest_cohort=2, collusion=2))
    with pytest.raises(PolicyRefusal, match="cohort of 3 is below its own smallest cohort 4"):
        federation.institutions["ash"].check(federation.plan(cohort=NAMES[:3], threshold=3), federation.keys)


@pytest.mark.parametrize("cohort", [NAMES[::-1], (*NAMES, "elm"), ("ash", "ash", "birch", "cedar")])
def test_a_cohort_that_is_no_sorted_set(federation: Federation, cohort: tuple[str, ...]) -> None:
    refused(federation, replace(federation.plan(), cohort=cohort), federation.keys, IllegalPlan, "not a sorted set")


def test_a_cohort_without_the_institution(federation: Federation) -> None:
    refused(federation, federation.plan(cohort=NAMES[1:]), federation.keys, IllegalPlan, "it is not in the cohort")


@pytest.mark.parametrize(
    ("changed", "error", "sentence"),
    [
        ({"clip_norm": 10.5}, PolicyRefusal, "clip norm 10.5 is above its own longest clip norm 10"),
        ({"clip_norm": float("nan")}, PolicyRefusal, "clip norm nan"),
        ({"clip_norm": float("inf")}, PolicyRefusal, "clip norm inf"),
        ({"clip_norm": 0.0}, IllegalPlan, "clip norm of 0"),
        ({"clip_norm": -1.0}, IllegalPlan, "clip norm of -1"),
        ({"number": 1001}, PolicyRefusal, "at most 1000 rounds"),
        ({"number": 2**60}, PolicyRefusal, "at most 1000 rounds"),
        ({"number": 0}, IllegalPlan, "rounds are counted from 1"),
        ({"number": -3}, IllegalPlan, "rounds are counted from 1"),
        ({"weight_cap": 0}, IllegalPlan, "weight cap of 0"),
        ({"weight_cap": 2**62}, IllegalPlan, "no headroom"),
        ({"layout": Layout(7, 3, 64)}, IllegalPlan, "ring of 64 bits"),
        ({"layout": Layout(2**40, 3)}, IllegalPlan, "update words"),
    ],
)
def test_plans_out_of_range(federation: Federation, changed: dict[str, Any], error: type[Exception], sentence: str) -> None:
    refused(federation, federation.plan(**changed), federation.keys, error, sentence)
