"""Rules that need no protocol around them; those of an active coordinator are in ``attacks/``."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.secagg.rules import SecaggPolicy


@given(st.integers(0, 50), st.integers(0, 50))
def test_a_sum_always_hides_an_honest_institution_behind_another(smallest: int, collusion: int) -> None:
    fewest = SecaggPolicy(smallest_cohort=smallest, collusion=collusion).fewest
    assert fewest >= smallest
    assert fewest - collusion >= 2
