from __future__ import annotations

import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.privacy.cumulative import BOUNDARY_BITS, TAIL, boundaries, exponential, magnitudes

UNIT = 2**BOUNDARY_BITS
DIGITS = 80


def exact(sigma: float) -> list[mpmath.mpf]:
    """``P(|X| ≤ m)`` of the cut law by summing exponentials of many digits."""
    with mpmath.workdps(DIGITS):
        weights = [mpmath.exp(-(mpmath.mpf(m) ** 2) / (2 * mpmath.mpf(sigma) ** 2)) * (2 if m else 1) for m in range(magnitudes(sigma))]
        whole, below, found = mpmath.fsum(weights), mpmath.mpf(0), []
        for weight in weights[:-1]:
            below += weight
            found.append(below / whole)
        return found


@settings(max_examples=40)
@given(st.floats(0.5, 60))
def test_boundaries_are_less_than_two_units_below_the_exact_ones(sigma: float) -> None:
    found = boundaries(sigma)
    assert len(found) == magnitudes(sigma) - 1
    with mpmath.workdps(DIGITS):
        assert all(0 <= true * UNIT - one < 2 for one, true in zip(found, exact(sigma), strict=True))


def test_errors_do_not_pile_up_over_a_long_table() -> None:
    sigma = 1500.25
    with mpmath.workdps(DIGITS):
        assert all(0 <= true * UNIT - one < 2 for one, true in zip(boundaries(sigma), exact(sigma), strict=True))


@pytest.mark.parametrize("sigma", [0.5, 1.0, 100.0])
def test_they_rise_and_stay_below_one(sigma: float) -> None:
    found = boundaries(sigma)
    assert found == sorted(found)
    assert found[0] > 0
    assert found[-1] < UNIT
    assert magnitudes(sigma) > TAIL * sigma


@given(st.integers(0, 2 << 200))
def test_the_exponential_is_off_by_less_than_it_says(fraction: int) -> None:
    with mpmath.workdps(DIGITS):
        true = mpmath.exp(-mpmath.mpf(fraction) / mpmath.mpf(2) ** 200) * mpmath.mpf(2) ** 200
        assert abs(true - exponential(fraction)) < 2**8
