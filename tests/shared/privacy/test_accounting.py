from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from dp_accounting.pld.privacy_loss_distribution import from_discrete_gaussian_mechanism
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from shared.errors import ConfigError
from shared.privacy.accounting import count_rho, epsilon, rho_for, round_rho, rounded_norm_bound, sampling_delta, sigma_for
from shared.privacy.noise import sampling_error

LENGTH = st.floats(0, 1e6)
SIGMA = st.floats(0.5, 1e5)
HONEST = st.integers(1, 64)
DIMENSION = st.integers(1, 10**8)
RHO = st.floats(1e-8, 100)
DELTA = st.floats(1e-15, 0.1)
ORDERS = (1.001, 1.05, 1.2, 1.5, 2.0, 3.0, 5.0, 8.0)


def sum_law(sigma: float, members: int) -> NDArray[np.float64]:
    """The law of the sum by convolution, within 25 of its deviations: positive terms only, so its tails are exact too."""
    values = np.arange(-int(36 * sigma) - 1, int(36 * sigma) + 2)
    one = np.exp(-(values**2) / (2 * sigma**2))
    whole = one / one.sum()
    for _ in range(members - 1):
        whole = np.convolve(whole, one / one.sum())
    middle, reach = whole.size // 2, int(25 * sigma * math.sqrt(members))
    return whole[middle - reach : middle + reach + 1]


def divergence(law: NDArray[np.float64], shift: int, order: float) -> float:
    """The Rényi divergence of the law from itself, shifted."""
    terms = order * np.log(law[shift:]) + (1 - order) * np.log(law[:-shift])
    return float((terms.max() + np.log(np.exp(terms - terms.max()).sum())) / (order - 1))


@pytest.mark.parametrize("sigma", [0.5, 0.6, 0.8, 1.0])
@pytest.mark.parametrize("members", [1, 2, 3, 8])
def test_no_order_tells_more_of_a_real_sum_than_its_rho(sigma: float, members: int) -> None:
    law = sum_law(sigma, members)
    for shift, order in product(range(1, 9), ORDERS):
        rho = count_rho(sensitivity=shift, sigma=sigma, honest=members)
        assert divergence(law, shift, order) <= rho * order * (1 + 1e-12)


def test_a_sum_of_small_noises_tells_more_than_one_normal_law_would() -> None:
    normal = 1 / (2 * 8 * 0.5**2)
    assert divergence(sum_law(0.5, 8), 1, 1.001) / 1.001 > 1.1 * normal
    assert count_rho(sensitivity=1, sigma=0.5, honest=8) > 1.1 * normal


@given(LENGTH, SIGMA, HONEST, DIMENSION)
def test_longer_contributions_and_more_coordinates_cost_more_and_more_noise_costs_less(
    length: float, sigma: float, honest: int, dimension: int
) -> None:
    base: dict[str, Any] = {"sensitivity": length, "sigma": sigma, "honest": honest, "dimension": dimension}
    rho = round_rho(**base)
    assert rho <= round_rho(**base | {"sensitivity": 1.5 * length})
    assert rho <= round_rho(**base | {"dimension": 2 * dimension})
    assert rho >= round_rho(**base | {"sigma": 1.5 * sigma})
    assert rho >= round_rho(**base | {"honest": honest + 1})


@given(LENGTH, st.floats(4, 1e5), HONEST, DIMENSION)
def test_noise_of_a_few_steps_is_as_good_as_a_normal_law(length: float, sigma: float, honest: int, dimension: int) -> None:
    normal = length**2 / (2 * honest * sigma**2)
    assert round_rho(sensitivity=length, sigma=sigma, honest=honest, dimension=dimension) == pytest.approx(
        normal, rel=1e-12, abs=1e-60 * dimension
    )


def test_one_institution_alone_pays_the_plain_discrete_gaussian() -> None:
    assert round_rho(sensitivity=3, sigma=2, honest=1, dimension=10**9) == pytest.approx(9 / 8)


def test_the_form_that_grows_with_the_root_of_the_dimension_is_the_better_one_for_long_vectors() -> None:
    dimension, sigma, honest = 10**6, 1.2, 3
    tau = 10 * sum(math.exp(-2 * (math.pi * sigma) ** 2 * k / (k + 1)) for k in (1, 2))
    for length in (0.1, 1000.0):
        ratio = length / (math.sqrt(honest) * sigma)
        forms = ratio**2 / 2 + tau * dimension, (ratio + tau * math.sqrt(dimension)) ** 2 / 2
        assert round_rho(sensitivity=length, sigma=sigma, honest=honest, dimension=dimension) == pytest.approx(min(forms))


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=40), st.integers(0, 2**32))
def test_rounding_lengthens_no_vector_beyond_the_certain_bound(values: list[float], seed: int) -> None:
    vector = np.array(values)
    rounded = np.floor(vector + np.random.default_rng(seed).random(vector.size))
    assert np.linalg.norm(rounded) <= rounded_norm_bound(float(np.linalg.norm(vector)), vector.size, 0.0) * (1 + 1e-12)


def test_rounding_passes_the_probable_bound_no_more_often_than_beta() -> None:
    rng = np.random.default_rng(3)
    # Halves are where rounding adds most.
    vector = np.full(400, 0.5)
    lengths = np.linalg.norm(np.floor(vector + rng.random((20_000, 400))), axis=1)
    for beta in (0.5, 0.1, 0.01):
        bound = rounded_norm_bound(float(np.linalg.norm(vector)), 400, beta)
        assert bound < rounded_norm_bound(float(np.linalg.norm(vector)), 400, 0.0)
        assert (lengths > bound).mean() <= beta


@given(st.floats(0, 1e4), st.integers(1, 10**6), st.floats(1e-12, 1))
def test_the_bound_falls_with_beta_and_covers_the_vector_itself(norm_: float, dimension: int, beta: float) -> None:
    bound = rounded_norm_bound(norm_, dimension, beta)
    assert norm_ <= rounded_norm_bound(norm_, dimension, min(1.0, 2 * beta)) <= bound <= rounded_norm_bound(norm_, dimension, 0.0)


@settings(max_examples=50)
@given(RHO, DELTA)
def test_epsilon_is_below_the_closed_form_and_above_the_normal_mechanism(rho: float, delta: float) -> None:
    found = epsilon(rho, delta)
    assert found <= rho + 2 * math.sqrt(rho * math.log(1 / delta))
    assert found >= normal_epsilon(rho, delta) * (1 - 1e-9)


def normal_epsilon(rho: float, delta: float) -> float:
    """The exact epsilon of a normal mechanism of this ``rho`` (Balle and Wang 2018, theorem 8)."""
    mean = math.sqrt(2 * rho)

    def above(level: float) -> float:
        return float(norm.cdf(mean / 2 - level / mean) - math.exp(level + norm.logcdf(-mean / 2 - level / mean)) - delta)

    return float(brentq(above, 0.0, rho + 2 * math.sqrt(rho * math.log(1 / delta)))) if above(0.0) > 0 else 0.0


@pytest.mark.parametrize("rho", [0.001, 0.05, 0.5, 5.0])
def test_epsilon_is_near_the_exact_one_of_a_normal_mechanism(rho: float) -> None:
    assert normal_epsilon(rho, 1e-6) <= epsilon(rho, 1e-6) <= 1.11 * normal_epsilon(rho, 1e-6)


@pytest.mark.parametrize(("sigma", "sensitivity"), [(1.0, 1), (4.0, 3), (20.0, 10)])
def test_epsilon_covers_the_privacy_loss_distribution_of_a_discrete_gaussian(sigma: float, sensitivity: int) -> None:
    exact = from_discrete_gaussian_mechanism(sigma, sensitivity=sensitivity).get_epsilon_for_delta(1e-6)
    assert exact <= epsilon(count_rho(sensitivity=sensitivity, sigma=sigma, honest=1), 1e-6) <= 1.2 * exact


@settings(max_examples=30)
@given(RHO, DELTA, st.floats(1.001, 10))
def test_epsilon_rises_with_rho_and_falls_with_delta(rho: float, delta: float, factor: float) -> None:
    assert epsilon(rho, delta) <= epsilon(rho * factor, delta)
    assert epsilon(rho, delta) >= epsilon(rho, min(0.5, delta * factor))


@settings(max_examples=25)
@given(st.floats(1e-3, 200), DELTA)
def test_the_inverse_keeps_its_epsilon_and_wastes_nothing(level: float, delta: float) -> None:
    rho = rho_for(level, delta)
    assert epsilon(rho, delta) <= level
    assert epsilon(rho * (1 + 1e-6), delta) > level


@settings(max_examples=60)
@given(RHO, st.floats(0.1, 1e6), HONEST, DIMENSION)
def test_the_least_noise_is_enough_and_no_less_is(rho: float, length: float, honest: int, dimension: int) -> None:
    asked: dict[str, Any] = {"sensitivity": length, "honest": honest, "dimension": dimension}
    sigma = sigma_for(rho=rho, **asked)
    assert round_rho(sigma=sigma, **asked) <= rho
    assume(sigma > 0.5)
    assert round_rho(sigma=max(0.5, sigma * (1 - 1e-9)), **asked) > rho


def test_what_the_sampler_adds_to_delta_is_its_error_for_every_sample_on_both_sides() -> None:
    added = sampling_delta(epsilon=2.0, sigma=3000.0, dimension=10**7, honest=20, rounds=500)
    assert added == pytest.approx((1 + math.exp(2)) * 20 * 10**7 * 500 * sampling_error(3000.0))
    assert added < 1e-20


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"sigma": 0.4}, "sigma"),
        ({"sigma": math.nan}, "sigma"),
        ({"sensitivity": -1.0}, "sensitivity"),
        ({"sensitivity": math.inf}, "sensitivity"),
        ({"honest": 0}, "honest"),
        ({"dimension": 0}, "dimension"),
    ],
)
def test_a_round_out_of_range_is_refused_by_name(changed: dict[str, Any], name: str) -> None:
    asked: dict[str, Any] = {"sensitivity": 1.0, "sigma": 1.0, "honest": 2, "dimension": 3}
    with pytest.raises(ConfigError, match=f"a {name} of"):
        round_rho(**asked | changed)


def test_promises_that_nobody_can_keep_are_refused() -> None:
    for delta in (0.0, 1.0, -1.0, math.nan):
        with pytest.raises(ConfigError, match="delta"):
            epsilon(1.0, delta)
        with pytest.raises(ConfigError, match="delta"):
            rho_for(1.0, delta)
    with pytest.raises(ConfigError, match="rho"):
        epsilon(-1.0, 1e-6)
    for level in (0.0, math.inf, math.nan):
        with pytest.raises(ConfigError, match="positive epsilon"):
            rho_for(level, 1e-6)
    with pytest.raises(ConfigError, match="noise without bound"):
        sigma_for(rho=0.0, sensitivity=1.0, honest=1, dimension=1)
    with pytest.raises(ConfigError, match="beta"):
        rounded_norm_bound(1.0, 1, -0.1)
