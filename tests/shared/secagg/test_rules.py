"""Rules that need no protocol around them; those of an active coordinator are in ``attacks/``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.secagg.errors import IllegalPlan
from shared.secagg.rules import MOST_INSTITUTIONS, SecaggPolicy, check_cohort, is_sorted_set
from tests.support.secagg import Federation


@given(st.lists(st.text(max_size=2), max_size=6))
def test_a_sorted_set_is_what_sorting_a_set_gives(names: list[str]) -> None:
    assert is_sorted_set(names) == (names == sorted(set(names)))


@given(st.integers(0, 50), st.integers(0, 50))
def test_a_sum_always_hides_an_honest_institution_behind_another(smallest: int, collusion: int) -> None:
    fewest = SecaggPolicy(smallest_cohort=smallest, collusion=collusion).fewest
    assert fewest >= smallest
    assert fewest - collusion >= 2


def test_the_largest_cohort_is_bounded() -> None:
    names = tuple(f"i{index:03d}" for index in range(MOST_INSTITUTIONS + 1))
    federation = Federation(names)
    check_cohort(federation.plan(cohort=names[:-1]), federation.roster)
    with pytest.raises(IllegalPlan, match="not a sorted set of 2 to 64 names"):
        check_cohort(federation.plan(), federation.roster)


def test_every_threshold_that_withstands_collusion_and_can_be_reached_is_legal() -> None:
    federation = Federation()
    for threshold in range(8):
        plan = federation.plan(threshold=threshold)
        if 2 * threshold > 5 + 1 and threshold <= 5:
            check_cohort(plan, federation.roster)
        else:
            with pytest.raises(IllegalPlan, match=f"a threshold of {threshold} does not go with a cohort of 5"):
                check_cohort(plan, federation.roster)
