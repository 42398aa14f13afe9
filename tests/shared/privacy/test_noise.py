from __future__ import annotations

import bisect
import itertools
import subprocess
import sys

import mpmath
import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chi2

from shared.errors import ConfigError
from shared.privacy.cumulative import BOUNDARY_BITS, boundaries, magnitudes
from shared.privacy.noise import LARGEST_SIGMA, SMALLEST_SIGMA, Table, discrete_gaussian, sampling_error
from tests.support.secagg import Stream

COUNT = 200_000
HALF = 2**64


def law(sigma: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Values within nine deviations, and their exact probabilities to a double's precision."""
    values = np.arange(-int(9 * sigma) - 1, int(9 * sigma) + 2)
    weights = np.exp(-(values**2) / (2 * sigma**2))
    return values, weights / weights.sum()


def chi_square(samples: NDArray[np.int64], sigma: float) -> tuple[float, int]:
    """The statistic over values expected 20 times and more, the rest in one cell, and its degrees of freedom."""
    values, probabilities = law(sigma)
    expected = probabilities * samples.size
    seen = np.bincount(samples - values[0], minlength=values.size).astype(np.float64)
    common = expected >= 20
    cells = [(seen[common], expected[common]), (seen[~common].sum(), expected[~common].sum())]
    return float(sum((((found - wanted) ** 2) / wanted).sum() for found, wanted in cells)), int(common.sum())


@pytest.mark.parametrize("sigma", [0.5, 0.8, 1.0, 3.7, 25.0, 400.0])
def test_samples_follow_the_law(sigma: float) -> None:
    statistic, freedom = chi_square(discrete_gaussian(sigma, COUNT, Stream("law")), sigma)
    assert statistic < chi2.ppf(0.9999, freedom)


def test_the_chi_square_test_tells_a_law_that_is_nearly_right() -> None:
    rounded = np.rint(np.random.default_rng(1).normal(0, 0.8, COUNT)).astype(np.int64)
    statistic, freedom = chi_square(rounded, 0.8)
    assert statistic > chi2.ppf(0.9999, freedom)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 40.0, 6000.0, 65536.0])
def test_mean_and_variance_are_those_of_the_law(sigma: float) -> None:
    samples = discrete_gaussian(sigma, COUNT, Stream("moments")).astype(np.float64)
    values, probabilities = law(sigma)
    variance = float((probabilities * values.astype(np.float64) ** 2).sum())
    # Five standard errors; the fourth moment of a normal law gives the variance's.
    assert abs(samples.mean()) < 5 * np.sqrt(variance / COUNT)
    assert samples.var() == pytest.approx(variance, rel=5 * np.sqrt(2 / COUNT))


@pytest.mark.parametrize(("sigma", "members"), [(0.7, 5), (3.0, 8), (1000.0, 20)])
def test_the_sum_of_several_has_the_sum_of_their_variances(sigma: float, members: int) -> None:
    parts = [discrete_gaussian(sigma, COUNT // 4, Stream(f"member {place}")) for place in range(members)]
    values, probabilities = law(sigma)
    variance = float((probabilities * values.astype(np.float64) ** 2).sum())
    assert np.sum(parts, axis=0).var() == pytest.approx(members * variance, rel=5 * np.sqrt(2 / (COUNT // 4)))


def test_a_value_and_its_opposite_are_equally_likely() -> None:
    samples = discrete_gaussian(2.0, COUNT, Stream("signs"))
    above, below = np.bincount(samples[samples > 0]), np.bincount(-samples[samples < 0])
    common = min(above.size, below.size)
    both = (above[1:common] + below[1:common]).astype(np.float64)
    differences = (above[1:common] - below[1:common]).astype(np.float64)
    assert (differences**2 / both).sum() < chi2.ppf(0.9999, common - 1)


def test_the_same_seed_gives_the_same_samples_and_another_others() -> None:
    one, same, other = (discrete_gaussian(30.0, 1000, Stream(name)) for name in ("a", "a", "b"))
    assert one.tobytes() == same.tobytes()
    assert one.tobytes() != other.tobytes()
    assert one.dtype == np.int64


def test_it_asks_for_one_seed_whatever_the_count() -> None:
    asked: list[int] = []

    def random(size: int) -> bytes:
        asked.append(size)
        return Stream("seed")(size)

    assert discrete_gaussian(5.0, 100_000, random).shape == (100_000,)
    assert discrete_gaussian(5.0, 0, random).shape == (0,)
    assert asked == [32, 32]


@pytest.mark.parametrize("sigma", [0.5, 4.3, 900.0])
def test_it_is_inversion_in_whole_numbers_across_pieces(sigma: float) -> None:
    count = (1 << 16) + 40
    stream = Cipher(algorithms.AES(Stream("plain")(32)), modes.CTR(bytes(16))).encryptor().update(bytes(8 * count))
    table = boundaries(sigma)
    places = [*range(30), *range(count - 60, count)]
    words = [int.from_bytes(stream[8 * place : 8 * place + 8], "little") for place in places]
    # The lower 64 bits are zero here: they are drawn for one sample in 2^40.
    expected = [bisect.bisect_right(table, (word >> 1) * HALF) * (1 - 2 * (word & 1)) for word in words]
    assert discrete_gaussian(sigma, count, Stream("plain"))[places].tolist() == expected


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, HALF - 1)), min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, HALF - 1)), min_size=1, max_size=30),
)
def test_where_the_first_bits_meet_a_boundary_the_rest_decide(bounds: list[tuple[int, int]], numbers: list[tuple[int, int]]) -> None:
    bounds = sorted(bounds)
    table = Table(*(np.array(column, np.uint64) for column in zip(*bounds, strict=True)))
    high = np.array([number[0] for number in numbers], np.uint64)
    met = [number for number in numbers if number[0] in {bound[0] for bound in bounds}]

    def draw(count: int) -> NDArray[np.uint64]:
        assert count == len(met)
        return np.array([number[1] for number in met], np.uint64)

    assert table.magnitudes(high, draw).tolist() == [bisect.bisect_right(bounds, number) for number in numbers]


@settings(max_examples=25)
@given(st.floats(0.5, 40))
def test_the_sampling_error_bounds_the_true_distance(sigma: float) -> None:
    with mpmath.workdps(80):
        weights = [mpmath.exp(-(mpmath.mpf(m) ** 2) / (2 * mpmath.mpf(sigma) ** 2)) * (2 if m else 1) for m in range(int(40 * sigma) + 20)]
        whole = mpmath.fsum(weights)
        edges = [0, *boundaries(sigma), 2**BOUNDARY_BITS]
        drawn = [mpmath.mpf(after - before) / 2**BOUNDARY_BITS for before, after in itertools.pairwise(edges)]
        assert len(drawn) == magnitudes(sigma)
        kept = mpmath.fsum(abs(one / whole - other) for one, other in zip(weights, drawn, strict=False))
        distance = (kept + mpmath.fsum(weights[len(drawn) :]) / whole) / 2
        assert 0 < distance < sampling_error(sigma)


def test_the_sampling_error_is_small_enough_for_any_run() -> None:
    # A thousand rounds of 100 institutions with 100 million parameters.
    assert sampling_error(LARGEST_SIGMA) < 2.0**-105
    assert sampling_error(LARGEST_SIGMA) * 1000 * 100 * 1e8 < 1e-15
    assert sampling_error(SMALLEST_SIGMA) < 2.0**-120


@pytest.mark.parametrize("sigma", [0.0, 0.49, -1.0, 2.0**17 + 1, float("nan"), float("inf")])
def test_deviations_that_cannot_be_drawn_are_refused(sigma: float) -> None:
    with pytest.raises(ConfigError, match="steps cannot be drawn"):
        discrete_gaussian(sigma, 1, Stream("x"))
    with pytest.raises(ConfigError, match="steps cannot be drawn"):
        sampling_error(sigma)


def test_noise_needs_no_accountant() -> None:
    unwanted = "{'dp_accounting', 'scipy', 'torch', 'pydantic'}"
    code = f"import sys, shared.privacy.noise, shared.privacy.budget; print(sorted({unwanted} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
