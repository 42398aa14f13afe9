"""What makes a plan legal whoever looks at it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.secagg.errors import IllegalPlan
from shared.secagg.legality import MOST_INSTITUTIONS, check_cohort, is_sorted_set, noise_ratio
from shared.secagg.roster import Roster
from tests.support.secagg import Federation


@given(st.lists(st.text(max_size=2), max_size=6))
def test_a_sorted_set_is_what_sorting_a_set_gives(names: list[str]) -> None:
    assert is_sorted_set(names) == (names == sorted(set(names)))


def test_the_largest_cohort_is_bounded() -> None:
    names = tuple(f"i{index:05d}" for index in range(MOST_INSTITUTIONS + 1))
    roster = Roster(dict.fromkeys(names, bytes(32)), bytes(32))
    plan = replace(Federation().plan(), cohort=names, threshold=5002, degree=50, share_threshold=27)
    check_cohort(replace(plan, cohort=names[:-1]), roster)
    with pytest.raises(IllegalPlan, match="not a sorted set of 2 to 10000 names"):
        check_cohort(plan, roster)


def test_every_threshold_that_withstands_collusion_and_can_be_reached_is_legal() -> None:
    federation = Federation()
    for threshold in range(8):
        plan = federation.plan(threshold=threshold)
        if 2 * threshold > 5 + 1 and threshold <= 5:
            check_cohort(plan, federation.roster)
        else:
            with pytest.raises(IllegalPlan, match=f"a threshold of {threshold} does not go with a cohort of 5"):
                check_cohort(plan, federation.roster)


@pytest.mark.parametrize(
    "changed", [{"degree": 3}, {"degree": 256}, {"degree": 4, "share_threshold": 6}, {"degree": 4, "share_threshold": 1}]
)
def test_a_degree_is_even_and_its_shares_can_be_reached(changed: dict[str, int]) -> None:
    federation = Federation()
    with pytest.raises(IllegalPlan, match="degrees are even and at most 254"):
        check_cohort(replace(federation.plan(), **changed), federation.roster)


def test_on_a_complete_graph_both_thresholds_are_one() -> None:
    federation = Federation()
    with pytest.raises(IllegalPlan, match="on a complete graph it is 4"):
        check_cohort(replace(federation.plan(), share_threshold=3), federation.roster)


def test_the_noise_ratio_counts_honest_institutions_only() -> None:
    plan = replace(Federation().plan(), noise=2.0)
    assert noise_ratio(plan, 5, 1) == pytest.approx(2 * noise_ratio(plan, 2, 1))
    assert noise_ratio(plan, 2, 2) == 0.0
    assert noise_ratio(replace(plan, noise=0.0), 5, 1) == 0.0
