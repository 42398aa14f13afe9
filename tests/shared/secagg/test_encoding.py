"""Encoding up and decoding down: what is rounded, cut and proven, with and without a rotation and noise."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.privacy.noise import discrete_gaussian
from shared.secagg.encoding import (
    DTYPES,
    centred,
    coordinate_range,
    count_offset,
    largest_counter,
    level_of,
    mean_update,
    noise_tail,
    prove_headroom,
    quantise,
    represented,
    rounded_norm,
    steps_per_unit,
    threshold_for,
)
from shared.secagg.errors import IllegalPlan, IllegalVector
from shared.secagg.messages import Aggregate, Layout, Plan
from shared.secagg.rotation import rotate, rotation_seed
from tests.support.secagg import Federation, Stream

COHORT = Federation().names
PLAN = Federation().plan()


def shaped(size: int, width: int = 16, **changed: Any) -> Plan:
    return replace(PLAN, layout=Layout(size, 0, width), **changed)


def cohort(members: int) -> tuple[str, ...]:
    return tuple(f"i{index:03d}" for index in range(members))


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
    plan = shaped(1, width, cohort=cohort(members))
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
        ({"layout": Layout(7, 3, 8), "cohort": cohort(128)}, "no headroom for 128"),
        ({"layout": Layout(2**31 + 1, 3)}, "update words"),
        ({"layout": Layout(-1, 3)}, "update words"),
        ({"clip_norm": 0.0}, "clip norm"),
        ({"clip_norm": 5e-324}, "clip norm"),
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


# Rotation


SIZES = st.one_of(st.integers(1, 40), st.integers(100, 300), st.just(8193))


@given(SIZES, st.integers(1, 100), st.integers(0, 2**32), st.floats(1e-2, 10.0), st.sampled_from([8, 16]), st.integers(2, 60))
def test_a_word_is_less_than_one_step_from_the_rotated_value_or_at_the_cut(
    size: int, weight: int, seed: int, norm: float, width: int, members: int
) -> None:
    plan = shaped(size, width, rotation=True, cohort=cohort(members))
    update = rng(seed).normal(0, norm / math.sqrt(size), size).astype(np.float32)
    exact = clipped(update, plan.clip_norm) * (weight / plan.weight_cap) * steps_per_unit(plan)
    rotate(exact, rotation_seed(plan, 0))
    words = centred(quantise(update, weight, plan, rng(seed)))
    assert (np.abs(words - np.clip(exact, -level_of(plan), level_of(plan))) < 1 + 1e-2).all()


@given(SIZES, st.integers(1, 100), st.integers(0, 2**32), st.booleans(), st.sampled_from(sorted(DTYPES)))
def test_what_words_represent_is_the_update_but_for_its_rounding(size: int, weight: int, seed: int, rotation: bool, width: int) -> None:
    # Two parts of three of the norm, so that next to nothing is cut.
    plan = shaped(size, width, rotation=rotation)
    update = rng(seed).normal(size=size).astype(np.float32)
    update *= np.float32(0.66 / np.linalg.norm(update))
    decoded = represented(quantise(update, weight, plan, rng(seed)), weight, plan)
    step = plan.weight_cap / weight / steps_per_unit(plan)
    assert decoded.dtype == np.float32
    assert np.linalg.norm(decoded - update) < math.sqrt(size) * step + 0.05


@pytest.mark.parametrize("rotation", [False, True])
@pytest.mark.parametrize("width", sorted(DTYPES))
def test_one_institution_s_mean_is_what_its_words_represent(width: int, rotation: bool) -> None:
    plan, update = shaped(500, width, rotation=rotation), rng(1).normal(0, 0.03, 500).astype(np.float32)
    words = quantise(update, 37, plan, rng())
    aggregate = Aggregate(("ash",), 37, centred(words), np.zeros(0, np.uint64))
    np.testing.assert_allclose(mean_update(aggregate, plan), represented(words, 37, plan), atol=1e-6)


@given(st.integers(20, 600), st.integers(2, 30), st.sampled_from([8, 16, 32]), st.integers(0, 2**32))
def test_the_mean_of_rotated_words_is_the_weighted_mean_but_for_its_rounding(size: int, members: int, width: int, seed: int) -> None:
    plan, random = shaped(size, width, rotation=True, cohort=cohort(members)), rng(seed)
    weights = random.integers(1, plan.weight_cap + 1, members)
    updates = random.normal(0, 0.66 / math.sqrt(size), (members, size)).astype(np.float32)
    words = [quantise(update, int(weight), plan, rng(seed + 1)) for update, weight in zip(updates, weights, strict=True)]
    total = np.sum([centred(each) for each in words], axis=0)
    decoded = mean_update(Aggregate(plan.cohort, int(weights.sum()), total, np.zeros(0, np.uint64)), plan)
    expected = np.average([clipped(update, plan.clip_norm) for update in updates], axis=0, weights=weights)
    # Less than a step a word, and of the few that are cut at most what is beyond the range.
    bound = members * math.sqrt(size) / steps_per_unit(plan) * plan.weight_cap / weights.sum()
    assert np.linalg.norm(decoded - expected) < bound + 0.05


@given(st.integers(1, 10**6), st.integers(2, 100), st.sampled_from(sorted(DTYPES)), st.floats(1e-3, 1e3))
def test_a_rotation_makes_steps_finer_and_never_coarser(size: int, members: int, width: int, clip_norm: float) -> None:
    plain = shaped(size, width, cohort=cohort(members), clip_norm=clip_norm)
    rotated = replace(plain, rotation=True)
    assert coordinate_range(plain) == clip_norm
    assert 0 < coordinate_range(rotated) <= clip_norm
    assert steps_per_unit(rotated) >= steps_per_unit(plain)


@pytest.mark.parametrize("members", [2, 4, 16, 60])
@pytest.mark.parametrize(("part", "least"), [(1.0, 0.84), (0.5, 0.99)])
def test_next_to_nothing_is_cut_but_of_the_heaviest_in_a_large_cohort(members: int, part: float, least: float) -> None:
    plan = shaped(50_000, 8, rotation=True, cohort=cohort(members))
    update = np.zeros(50_000, np.float32)
    update[-700:] = rng().normal(size=700)  # one layer alone
    weight = int(part * plan.weight_cap)
    kept = float(represented(quantise(update, weight, plan, rng(1)), weight, plan) @ clipped(update, plan.clip_norm))
    assert least < kept < 1.02, "as a part of the clipped update"


def test_eight_bits_with_a_rotation_are_an_order_finer_than_without() -> None:
    update, errors = rng().normal(0, 1 / 200, 40_000).astype(np.float32), []
    for rotation in (False, True):
        plan = shaped(40_000, 8, rotation=rotation)
        errors.append(float(np.linalg.norm(represented(quantise(update, 50, plan, rng()), 50, plan) - clipped(update, 1.0))))
    assert errors[1] < 0.2
    assert errors[1] < errors[0] / 10


# Noise

NOISES = st.floats(0.5, 2000.0)


@given(st.integers(2, 100), st.sampled_from(sorted(DTYPES)), NOISES, st.integers(1, 10**7), st.booleans())
def test_the_largest_words_of_a_cohort_and_its_noise_stay_within_the_ring(
    members: int, width: int, noise: float, size: int, rotation: bool
) -> None:
    plan = shaped(size, width, cohort=cohort(members), noise=noise, rotation=rotation)
    try:
        prove_headroom(plan)
    except IllegalPlan:
        assert members + noise_tail(plan) > 2 ** (width - 1) - 1, "refused only where not even one step has room"
        assume(False)
    assert level_of(plan) >= 1
    assert members * level_of(plan) + noise_tail(plan) <= 2 ** (width - 1) - 1


def test_a_sum_of_noise_stays_within_its_tail() -> None:
    plan = shaped(100_000, 16, noise=40.0)
    total = np.sum([discrete_gaussian(plan.noise, 100_000, Stream(name)) for name in plan.cohort], axis=0)
    tail, deviation = noise_tail(plan), 40.0 * math.sqrt(len(plan.cohort))
    assert 4 * deviation < np.abs(total).max() < tail
    assert 8 * deviation < tail < 12 * deviation, "and the tail takes no more of the ring than it must"


@given(st.floats(10.0, 2000.0), st.integers(2, 60), st.integers(1, 10**6))
def test_the_tail_grows_with_noise_cohort_and_words(noise: float, members: int, size: int) -> None:
    plan = shaped(size, cohort=cohort(members), noise=noise)
    more = [
        replace(plan, noise=2 * noise),
        replace(plan, cohort=cohort(2 * members)),
        replace(plan, layout=replace(plan.layout, update_words=100 * size)),
    ]
    assert all(noise_tail(other) > noise_tail(plan) for other in more)
    assert noise_tail(replace(plan, noise=0.0)) == 0


@given(st.integers(1, 3000), st.integers(0, 2**32), st.booleans(), st.sampled_from([1.0, 30.0]), st.integers(0, 2))
def test_where_noise_is_added_no_rounding_is_longer_than_the_sensitivity(
    size: int, seed: int, rotation: bool, noise: float, shape: int
) -> None:
    plan = shaped(size, 16, noise=noise, rotation=rotation)
    spread = (rng(seed).normal(size=size), np.ones(size), np.eye(1, size)[0])[shape]
    words = centred(quantise((10 * spread).astype(np.float32), plan.weight_cap, plan, rng(seed)))
    exact = plan.clip_norm * steps_per_unit(plan)
    assert np.linalg.norm(words) <= rounded_norm(plan) * (1 + 1e-12)
    assert exact < rounded_norm(plan) <= exact + math.sqrt(size)


@pytest.mark.parametrize("count_noise", [0.5, 1.7, 300.0])
def test_a_clip_count_with_its_offset_is_not_negative(count_noise: float) -> None:
    samples = discrete_gaussian(count_noise, 200_000, Stream("counts"))
    offset = count_offset(shaped(1, count_noise=count_noise))
    assert samples.min() < -3 * count_noise
    assert samples.min() + offset > 0


def test_without_noise_in_the_count_there_is_no_offset() -> None:
    assert count_offset(PLAN) == 0


@pytest.mark.parametrize("changed", [{"noise": -1.0}, {"noise": float("nan")}, {"noise": float("inf")}, {"count_noise": -0.5}])
def test_a_noise_that_is_none_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(IllegalPlan, match="noise"):
        prove_headroom(replace(PLAN, **changed))


def test_noise_and_fragments_are_refused_together() -> None:
    with pytest.raises(IllegalPlan, match="fragments or the noise"):
        prove_headroom(shaped(7, 32, noise=1.0, fragments={"ash": ((0, 3),)}))
