from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.secagg.encoding import DTYPES, centred, largest_counter, level_of, mean_update, prove_headroom, quantise, threshold_for
from shared.secagg.errors import IllegalPlan, IllegalVector
from shared.secagg.messages import Aggregate, Layout, Plan
from tests.support.secagg import Federation

COHORT = Federation().names
PLAN = Federation().plan()


def shaped(size: int, width: int = 16, **changed: Any) -> Plan:
    return replace(PLAN, layout=Layout(size, 0, width), **changed)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def clipped(update: NDArray[np.float32], clip: float) -> NDArray[np.float64]:
    exact = update.astype(np.float64)
    return exact * min(1.0, clip / max(float(np.sqrt((exact**2).sum())), 1e-300))


@given(st.integers(2, 200), st.integers(0, 100))
def test_the_threshold_is_the_smallest_that_withstands_collusion(members: int, collusion: int) -> None:
    threshold = threshold_for(members, collusion)
    assert 2 * threshold > members + collusion >= 2 * (threshold - 1)


@given(st.integers(2, 64), st.sampled_from(sorted(DTYPES)), st.integers(0, 10**6))
def test_no_sum_of_a_whole_cohort_leaves_the_ring(members: int, width: int, seed: int) -> None:
    plan = shaped(1, width, cohort=tuple(f"i{index:02d}" for index in range(members)))
    prove_headroom(plan)
    # The worst that can be: the whole norm in one coordinate, everyone the same sign, the largest weight.
    words = quantise(np.array([1e30 if seed % 2 else -1e30], np.float32), plan.weight_cap, plan, rng(seed))
    total = members * int(centred(words)[0])
    assert -(2 ** (width - 1)) <= total < 2 ** (width - 1)
    assert abs(total) == members * level_of(plan)


@given(st.integers(1, 40), st.integers(1, 100), st.integers(0, 2**32), st.floats(1e-3, 1e3), st.sampled_from(sorted(DTYPES)))
def test_a_word_is_less_than_one_step_from_the_exact_value(size: int, weight: int, seed: int, spread: float, width: int) -> None:
    plan = shaped(size, width)
    update = rng(seed).normal(0, spread, size).astype(np.float32)
    exact = clipped(update, plan.clip_norm) * (weight / plan.weight_cap) * level_of(plan) / plan.clip_norm
    words = centred(quantise(update, weight, plan, rng(seed)))
    assert (np.abs(words - exact) < 1 + 1e-6).all()


def test_rounding_is_unbiased() -> None:
    plan = shaped(200_000, clip_norm=1000.0)
    update = np.full(200_000, 0.37, np.float32)  # norm 165, so nothing is clipped
    exact = float(np.float32(0.37)) * level_of(plan) / plan.clip_norm
    assert 0.05 < exact % 1 < 0.95
    mean = centred(quantise(update, plan.weight_cap, plan, rng())).mean()
    # The mean of 200 000 draws of a Bernoulli variable: 5 standard errors.
    assert abs(mean - exact) < 5 * 0.5 / np.sqrt(200_000)


def test_the_same_generator_gives_the_same_words_in_pieces_of_any_number() -> None:
    update = rng(1).normal(0, 1, 150_000).astype(np.float32)
    one, other = (quantise(update, 7, shaped(150_000), rng(2)) for _ in range(2))
    assert one.tobytes() == other.tobytes()
    exact = clipped(update, 1.0) * 0.07 * level_of(PLAN)
    assert np.abs(centred(one) - exact).max() < 1


def test_the_mean_weighs_by_records() -> None:
    plan = shaped(3, 32)
    updates = {"ash": np.array([0.5, 0.0, -0.25], np.float32), "elm": np.array([0.1, -0.5, 0.25], np.float32)}
    weights = {"ash": 30, "elm": 90}
    words = [quantise(update, weights[name], plan, rng()) for name, update in updates.items()]
    aggregate = Aggregate(("ash", "elm"), 120, sum(map(centred, words)), np.zeros(0, np.uint64))  # type: ignore[arg-type]
    expected = (updates["ash"] * 30 + updates["elm"] * 90) / 120
    assert np.allclose(mean_update(aggregate, plan), expected, atol=1e-7)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_wherever_it_is(bad: float) -> None:
    for place in (0, 65_535, 65_536, 99_999):
        update = np.zeros(100_000, np.float32)
        update[place] = bad
        with pytest.raises(IllegalVector, match="NaN or an infinity"):
            quantise(update, 1, shaped(100_000), rng())


def test_the_largest_finite_update_is_clipped() -> None:
    update = np.full(4, np.finfo(np.float32).max, np.float32)
    assert (np.abs(centred(quantise(update, 100, shaped(4), rng())) - level_of(PLAN) / 2) < 1).all()


@pytest.mark.parametrize("size", [0, 3])
def test_no_update_at_all_and_a_zero_update_stay_zero(size: int) -> None:
    words = quantise(np.zeros(size, np.float32), 1, shaped(size), rng())
    assert words.dtype == np.uint16
    assert words.tolist() == [0] * size


@pytest.mark.parametrize(
    ("size", "weight", "sentence"), [(6, 1, "shape"), (7, 0, "weight of 0"), (7, 101, "weight of 101"), (7, -1, "weight")]
)
def test_wrong_sizes_and_weights_are_refused(size: int, weight: int, sentence: str) -> None:
    with pytest.raises(IllegalVector, match=sentence):
        quantise(np.zeros(size, np.float32), weight, PLAN, rng())


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"layout": Layout(7, 3, 12)}, "ring of 12 bits"),
        ({"layout": Layout(7, 3, 8), "cohort": tuple(f"i{index:03d}" for index in range(128))}, "no headroom for 128"),
        ({"layout": Layout(2**31 + 1, 3)}, "update words"),
        ({"layout": Layout(-1, 3)}, "update words"),
        ({"clip_norm": 0.0}, "clip norm"),
        ({"clip_norm": float("nan")}, "clip norm"),
        ({"clip_norm": float("inf")}, "clip norm"),
        ({"weight_cap": 0}, "weight cap"),
        ({"weight_cap": 2**61}, "weight cap"),
    ],
)
def test_a_plan_that_could_overflow_is_refused(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(IllegalPlan, match=sentence):
        prove_headroom(replace(PLAN, **changed))


def test_the_largest_counters_of_a_cohort_do_not_overflow() -> None:
    assert len(PLAN.cohort) * largest_counter(PLAN) < 2**63
