from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.secagg.encoding import DTYPES, threshold_for
from shared.secagg.errors import (
    EquivocatedSet,
    ForgedMessage,
    IllegalVector,
    ReplayedRound,
    UnprovenSet,
    VoidRound,
    WrongRoster,
    WrongShare,
)
from shared.secagg.messages import Layout
from tests.support.secagg import NAMES, Federation, assert_sum, flipped, resigned, resigned_shares, vector_of


@st.composite
def rounds(draw: st.DrawFn) -> tuple[int, int, set[int], set[int], int, int, int]:
    """Members, collusion, who is lost and who is silent in Unmask (within what the threshold bears), and the layout."""
    members = draw(st.integers(3, 9))
    collusion = draw(st.integers(0, members - 2))
    spare = members - threshold_for(members, collusion)
    lost = draw(st.sets(st.integers(0, members - 1), max_size=min(spare, members - collusion - 2)))
    silent = draw(st.sets(st.sampled_from(sorted(set(range(members)) - lost)), max_size=spare - len(lost)))
    width = draw(st.sampled_from(sorted(DTYPES)))
    return members, collusion, lost, silent, width, draw(st.integers(0, 40)), draw(st.integers(0, 6))


@settings(max_examples=40)
@given(rounds(), st.randoms(use_true_random=False))
def test_the_aggregate_is_the_plain_sum_for_every_drop_out_and_order(
    shape: tuple[int, int, set[int], set[int], int, int, int], random: object
) -> None:
    members, collusion, lost, silent, width, words, counters = shape
    names = tuple(f"i{index}" for index in range(members))
    federation = Federation(names, replace(Federation().policy, collusion=collusion, smallest_cohort=2))
    plan = federation.plan(layout=Layout(words, counters, width))
    order = list(names)
    random.shuffle(order)  # type: ignore[attr-defined]
    made = federation.masked(plan, {names[index] for index in lost}, order)
    federation.agree(made)
    federation.unmask(made, {names[index] for index in silent})
    assert_sum(made.finish(), plan, [name for index, name in enumerate(names) if index not in lost])


def test_every_order_of_arrival_gives_the_same() -> None:
    names = NAMES[:4]
    for order in itertools.permutations(names):
        federation = Federation(names)
        plan = federation.plan()
        made = federation.masked(plan, order=order)
        federation.unmask(made)
        assert_sum(made.finish(), plan, names)


def test_the_largest_cohort_works_with_as_many_lost_as_it_bears() -> None:
    names = tuple(f"i{index:02d}" for index in range(64))
    federation = Federation(names, replace(Federation().policy, collusion=3))
    plan = federation.plan()
    lost = names[:30]
    assert plan.threshold == 34
    assert_sum(federation.round(plan, lost=lost), plan, names[30:])


def test_the_masked_vectors_alone_look_random() -> None:
    federation = Federation()
    plan = federation.plan(layout=Layout(100_000, 0))
    zero = replace(vector_of(plan, "ash"), update=np.zeros(100_000, np.uint16))
    masked = federation.mask(plan, "ash", zero).update
    counts = np.bincount(masked >> 8, minlength=256)
    assert ((counts - 100_000 / 256) ** 2 / (100_000 / 256)).sum() < 347


def test_the_running_sum_keeps_no_vector() -> None:
    federation = Federation()
    plan = federation.plan(layout=Layout(50_000, 0))
    made = federation.coordinator(plan)
    for name in plan.cohort:
        made.add(federation.mask(plan, name))
    kept = [value for value in vars(made).values() if isinstance(value, np.ndarray)]
    assert sum(value.nbytes for value in kept) == 50_000 * 2 + 2 * 8


def test_a_round_of_counters_alone() -> None:
    federation = Federation()
    plan = federation.plan(layout=Layout(0, 4))
    assert_sum(federation.round(plan, lost=["elm"]), plan, NAMES[:4])


def test_too_few_survivors_void_the_round_and_the_lost_are_named() -> None:
    federation = Federation()
    plan = federation.plan()
    with pytest.raises(VoidRound, match="3 of 5 answered round 1, 4 are needed; lost: birch, elm"):
        federation.masked(plan, lost=["birch", "elm"])


def test_too_few_signatures_or_shares_void_the_round() -> None:
    federation = Federation()
    made = federation.masked(federation.plan(), lost=["elm"])
    with pytest.raises(VoidRound, match="0 signed the surviving set"):
        made.unmask_request("ash")
    federation.agree(made)
    federation.unmask(made, silent=["ash"])
    assert not made.enough
    with pytest.raises(VoidRound, match="3 gave shares of the seeds of 'ash' in round 1, 4 are needed"):
        made.finish()
    made.add_shares(federation.institutions["ash"].unmask(made.unmask_request("ash")))
    assert_sum(made.finish(), federation.plan(), NAMES[:4])


def test_finishing_twice_gives_the_same() -> None:
    federation = Federation()
    made = federation.masked(federation.plan())
    federation.unmask(made)
    assert made.finish().update.tobytes() == made.finish().update.tobytes()


def test_what_comes_twice_late_or_from_strangers_changes_nothing() -> None:
    federation = Federation()
    plan = federation.plan(cohort=NAMES[:4])
    made = federation.coordinator(plan)
    answers = {name: federation.mask(plan, name) for name in plan.cohort}
    made.add(answers["ash"])
    with pytest.raises(ReplayedRound, match="'ash' answered round 1 twice"):
        made.add(answers["ash"])
    with pytest.raises(WrongRoster, match="'elm' is not in the cohort"):
        made.add(replace(answers["birch"], institution="elm"))
    for name in NAMES[1:4]:
        made.add(answers[name])
    made.close()
    with pytest.raises(ReplayedRound, match="after its surviving set was closed"):
        made.add(answers["birch"])
    with pytest.raises(UnprovenSet, match="'elm' is not among the survivors"):
        made.unmask_request("elm")
    shares = federation.institutions["ash"].unmask(made.unmask_request("ash"))
    made.add_shares(shares)
    with pytest.raises(ReplayedRound, match="unasked or twice"):
        made.add_shares(shares)
    federation.unmask(made, silent=["ash"])
    assert_sum(made.finish(), plan, plan.cohort)


def test_vectors_of_another_shape_are_refused_before_they_are_added() -> None:
    federation = Federation()
    plan = federation.plan()
    masked = federation.mask(plan, "ash")
    made = federation.coordinator(plan)
    for changed in (
        {"update": np.zeros(8, np.uint16)},
        {"update": np.zeros(7, np.uint32)},
        {"update": np.zeros((7, 1), np.uint16)},
        {"counters": np.zeros(6, np.uint64)},
        {"counters": np.zeros(5, np.int64)},
    ):
        with pytest.raises(IllegalVector, match="'ash' sent"):
            made.add(resigned(masked, **changed))
    made.add(masked)


def test_parts_for_others_or_of_other_lengths_are_refused() -> None:
    federation = Federation()
    plan = federation.plan()
    masked = federation.mask(plan, "ash")
    made = federation.coordinator(plan)
    fewer = {name: share for name, share in masked.shares.items() if name != "elm"}
    for changed in (
        {"shares": fewer},
        {"shares": {**masked.shares, "ash": b""}},
        {"shares": {**masked.shares, "elm": b"short"}},
        {"commitments": {**masked.commitments, "elm": b"short"}},
        {"commitments": {**masked.commitments, "zebra": bytes(32)}},
    ):
        with pytest.raises(IllegalVector, match="'ash' sent"):
            made.add(resigned(masked, **changed))


def test_agreements_are_checked() -> None:
    federation = Federation()
    made = federation.masked(federation.plan(), lost=["elm"])
    agreement = federation.institutions["ash"].agree(made.agree_request())
    with pytest.raises(ForgedMessage, match="of 'ash'"):
        made.add_agreement(replace(agreement, signature=flipped(agreement.signature, 1)))
    with pytest.raises(ForgedMessage, match="'birch'"):
        made.add_agreement(replace(agreement, institution="birch"))
    with pytest.raises(EquivocatedSet, match="'ash' signed another surviving set"):
        made.add_agreement(replace(agreement, survivors=NAMES[1:]))
    with pytest.raises(EquivocatedSet, match="'elm' signed"):
        made.add_agreement(replace(agreement, institution="elm"))


def test_shares_for_others_than_asked_or_of_other_lengths_are_refused() -> None:
    federation = Federation()
    made = federation.masked(federation.plan(), lost=["elm"])
    federation.agree(made)
    shares = federation.institutions["ash"].unmask(made.unmask_request("ash"))

    fewer = {name: share for name, share in shares.self_shares.items() if name != "birch"}
    wrong: list[dict[str, Any]] = [{"self_shares": fewer}, {"pair_shares": {}}, {"self_shares": {**shares.self_shares, "birch": b"short"}}]
    for changed in wrong:
        with pytest.raises(WrongShare, match="'ash' gave"):
            made.add_shares(resigned_shares(shares, **changed))
    with pytest.raises(ForgedMessage, match="of 'ash'"):
        made.add_shares(replace(shares, self_shares={**shares.self_shares, "birch": bytes(32)}))


def test_an_illegal_plan_or_key_is_refused_by_the_coordinator_itself() -> None:
    federation = Federation()
    with pytest.raises(WrongRoster, match="another roster"):
        federation.coordinator(federation.plan(roster_digest=bytes(32)))
    federation.institutions.pop("elm")
    with pytest.raises(WrongRoster, match="without a key of epoch 1: elm"):
        federation.coordinator(federation.plan())
