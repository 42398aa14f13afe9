from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.secagg.dealing import SELF
from shared.secagg.encoding import threshold_for
from shared.secagg.errors import VoidRound
from shared.secagg.field import lagrange, multiply
from shared.secagg.messages import Plan, Shares
from shared.secagg.recovery import Recovered, Secret, culprits, recover
from shared.secagg.seals import commit_self
from shared.secagg.shamir import deal
from tests.support.secagg import Federation, Stream

CONTEXT = bytes(32)


def sharing(members: int, collusion: int) -> tuple[Plan, dict[str, Shares], dict[Secret, bytes]]:
    """Everyone's self-mask seed, shared rightly among everyone."""
    names = tuple(f"i{index:02d}" for index in range(members))
    threshold = threshold_for(members, collusion)
    plan = replace(Federation().plan(), cohort=names, threshold=threshold, share_threshold=threshold, collusion=collusion)
    seeds = {name: Stream(name)(32) for name in names}
    rows = np.frombuffer(b"".join(seeds[name] for name in names), np.uint8).reshape(members, 32)
    dealt = deal(rows, threshold, members, Stream("deal"))
    answers = {
        holder: Shares(holder, CONTEXT, {dealer: dealt[place, row].tobytes() for row, dealer in enumerate(names)}, {}, b"")
        for place, holder in enumerate(names)
    }
    return plan, answers, {(name, SELF): commit_self(CONTEXT, name, seeds[name]) for name in names}


def everyone(plan: Plan) -> dict[str, tuple[str, ...]]:
    """On a complete graph everyone holds shares of everyone's seeds."""
    return dict.fromkeys(plan.cohort, plan.cohort)


def lying(answer: Shares, dealers: Collection[str] | None = None) -> Shares:
    """The answer with other shares for the secrets of ``dealers`` (all)."""
    changed = {
        dealer: Stream(f"lie/{answer.institution}/{dealer}")(32) if dealers is None or dealer in dealers else share
        for dealer, share in answer.self_shares.items()
    }
    return replace(answer, self_shares=changed)


def with_liars(answers: dict[str, Shares], liars: Collection[str]) -> dict[str, Shares]:
    return {name: lying(answer) if name in liars else answer for name, answer in answers.items()}


def right(plan: Plan) -> dict[Secret, bytes]:
    return {(name, SELF): Stream(name)(32) for name in plan.cohort}


@settings(max_examples=40)
@given(st.integers(3, 12), st.data())
def test_liars_are_left_out_and_named(members: int, data: st.DataObject) -> None:
    collusion = data.draw(st.integers(0, members - 2))
    plan, answers, commitments = sharing(members, collusion)
    spare = members - plan.threshold
    liars = data.draw(st.sets(st.sampled_from(plan.cohort), max_size=spare))
    recovered = recover(plan, CONTEXT, with_liars(answers, liars), commitments, everyone(plan))
    assert recovered.seeds == right(plan)
    # Who lied to everyone is named where the honest are enough to tell (recovery.py), and never anybody else.
    assert named(recovered, collusion) == (liars if len(liars) < spare + 2 - collusion else set())


def named(recovered: Recovered, collusion: int) -> set[str]:
    blamed, doubted = culprits(recovered.wrong, collusion)
    assert doubted == ()
    return set(blamed)


@pytest.mark.parametrize("places", [(0, 1), (0, 5), (2, 4), (3, 8)])
def test_liars_whose_errors_cancel_frame_nobody(places: tuple[int, int]) -> None:
    # Two liars know that holders 0 to 5 are looked at first, and choose errors that cancel at 0.
    plan, answers, commitments = sharing(9, 2)
    assert plan.threshold == 6
    first = list(range(6))
    weights = lagrange([place + 1 for place in first], [0])[0]
    names = [plan.cohort[place] for place in places]
    if set(places) <= set(first):
        errors = [int(weights[places[1]]), int(weights[places[0]])]
        assert multiply(errors[0], int(weights[places[0]])) == multiply(errors[1], int(weights[places[1]]))
    else:
        errors = [1, 1]
    for name, error in zip(names, errors, strict=True):
        shares = {dealer: bytes(byte ^ error for byte in share) for dealer, share in answers[name].self_shares.items()}
        answers[name] = replace(answers[name], self_shares=shares)
    recovered = recover(plan, CONTEXT, answers, commitments, everyone(plan))
    assert recovered.seeds == right(plan)
    assert named(recovered, 2) == set(names)


@pytest.mark.parametrize("liars", [(0,), (63,), (0, 1), (5, 17, 33), tuple(range(6))])
def test_liars_in_the_largest_cohort_are_found_wherever_they_sit(liars: tuple[int, ...]) -> None:
    plan, answers, commitments = sharing(64, 3)
    names = {plan.cohort[index] for index in liars}
    recovered = recover(plan, CONTEXT, with_liars(answers, names), commitments, everyone(plan))
    assert named(recovered, 3) == names
    assert recovered.seeds == right(plan)


def test_more_liars_than_spare_answers_void_the_round() -> None:
    plan, answers, commitments = sharing(5, 1)
    with pytest.raises(VoidRound, match="it dealt wrong shares or too many holders gave wrong ones"):
        recover(plan, CONTEXT, with_liars(answers, ("i03", "i04")), commitments, everyone(plan))


def test_a_commitment_to_another_seed_is_the_dealers_fault() -> None:
    plan, answers, commitments = sharing(5, 1)
    with pytest.raises(VoidRound, match="'i01' committed to another seed than it dealt"):
        recover(plan, CONTEXT, answers, {**commitments, ("i01", SELF): bytes(32)}, everyone(plan))


def test_the_search_for_too_many_liars_ends() -> None:
    plan, answers, commitments = sharing(64, 3)
    with pytest.raises(VoidRound):
        recover(plan, CONTEXT, with_liars(answers, plan.cohort[::2]), commitments, everyone(plan))


def test_who_stands_against_more_than_may_lie_is_blamed() -> None:
    assert culprits([], 1) == ((), ())
    assert culprits([("ash", "elm")], 1) == ((), (("ash", "elm"),))
    assert culprits([("ash", "elm"), ("elm", "ash")], 1) == ((), (("ash", "elm"), ("elm", "ash")))
    # A holder that lies about everyone's shares; a dealer that deals wrongly to three; two liars who frame a dealer.
    assert culprits([(dealer, "elm") for dealer in "abcd"], 2) == (("elm",), ())
    assert culprits([("ash", holder) for holder in "abc"], 2) == (("ash",), ())
    assert culprits([("ash", "b"), ("ash", "c")], 2) == ((), (("ash", "b"), ("ash", "c")))


def test_a_dealer_that_deals_wrongly_to_some_is_named_and_the_others_are_not() -> None:
    plan, answers, commitments = sharing(9, 1)
    wrong = {name: lying(answer, ("i00",)) if name in ("i03", "i04") else answer for name, answer in answers.items()}
    recovered = recover(plan, CONTEXT, wrong, commitments, everyone(plan))
    assert recovered.seeds == right(plan)
    assert culprits(recovered.wrong, 1) == (("i00",), ())
