"""Rounds on the sparse graph: the same laws as on the complete one, and what only it has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shared.secagg.errors import ForgedMessage, IllegalPlan, VoidRound
from tests.support.secagg import Federation, assert_sum, resigned_shares

NAMES = tuple(f"i{index:02d}" for index in range(66))


@pytest.mark.parametrize("lost", [(), ("i07",), tuple(NAMES[3:60:5])])
def test_the_aggregate_is_the_plain_sum(lost: tuple[str, ...]) -> None:
    federation = Federation(NAMES)
    plan = federation.plan()
    assert plan.degree == 26
    assert plan.share_threshold < plan.threshold
    survivors = tuple(name for name in NAMES if name not in lost)
    assert_sum(federation.round(plan, lost), plan, survivors)


def test_rounds_follow_each_other_and_those_who_missed_some_come_back() -> None:
    federation = Federation(NAMES)
    first, third = federation.plan(1), federation.plan(3)
    federation.round(first, lost=NAMES[:4])
    federation.restart("i09")
    assert_sum(federation.round(third), third, NAMES)


def test_members_outside_the_cohort_keep_their_places() -> None:
    federation = Federation(NAMES)
    cohort = NAMES[2:]
    plan = federation.plan(cohort=cohort)
    assert_sum(federation.round(plan), plan, cohort)


def test_each_holder_is_asked_for_its_neighbours_only() -> None:
    federation = Federation(NAMES)
    plan = federation.plan()
    made = federation.masked(plan, lost=["i00"])
    assert not made.whole
    federation.agree(made)
    request = made.unmask_request("i01")
    assert len(request.shares) in (25, 26)  # one fewer where the lost one is a neighbour
    assert len(request.agreements) == plan.threshold


def test_one_wrong_share_is_found_and_named() -> None:
    federation = Federation(NAMES)
    plan = federation.plan()
    made = federation.masked(plan)
    federation.agree(made)
    for name in NAMES:
        answer = federation.institutions[name].unmask(made.unmask_request(name))
        if name == "i05":
            answer = resigned_shares(answer, self_shares={dealer: bytes(32) for dealer in answer.self_shares})
        made.add_shares(answer)
    found = made.finish()
    assert found.blamed == ("i05",)
    assert_sum(found, plan, NAMES)


def test_an_epoch_keeps_its_graph() -> None:
    federation = Federation(NAMES)
    federation.round(federation.plan(1))
    with pytest.raises(IllegalPlan, match="epoch 1 began on another graph; open a new epoch"):
        federation.institutions["i03"].check(federation.plan(2, degree=30), federation.keys)


def test_a_plan_for_other_keys_is_refused_at_both_ends() -> None:
    federation = Federation(NAMES)
    other = replace(federation.plan(), keys_digest=bytes(32))
    with pytest.raises(ForgedMessage, match="'i03' refused round 1: it is planned for other keys of epoch 1"):
        federation.institutions["i03"].check(other, federation.keys)
    with pytest.raises(ForgedMessage, match="planned for other keys than those of epoch 1"):
        federation.coordinator(other)


def test_a_share_threshold_that_colluding_neighbours_reach_is_refused() -> None:
    federation = Federation(NAMES)
    plan = federation.plan()
    with pytest.raises(IllegalPlan, match="colluding institutions could gather so many in one neighbourhood"):
        federation.institutions["i03"].check(replace(plan, share_threshold=plan.share_threshold - 1), federation.keys)


def test_too_few_shares_of_one_neighbourhood_void_the_round() -> None:
    federation = Federation(NAMES)
    plan = federation.plan()
    made = federation.masked(plan)
    federation.agree(made)
    silent = made._holders["i10"][:14]
    federation.unmask(made, silent=silent)
    assert not made.enough
    with pytest.raises(VoidRound, match=r"gave shares of the seeds of 'i\d\d' in round 1"):
        made.finish()


def test_masks_of_a_sparse_graph_are_as_uniform() -> None:
    federation = Federation(NAMES)
    answer = federation.mask(federation.plan(), "i00")
    assert len(answer.shares) == 26
    assert len(np.unique(answer.update)) > 1
