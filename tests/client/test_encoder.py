"""The encoder's laws: what is masked and what stays here are together the update, and nothing else depends on chance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from client.encoder import Encoded, Encoder
from client.residuals import MemoryResiduals, Residuals, ResidualStore
from client.site import round_generator
from server.phases import next_clip_norm
from shared.config import AggregationSettings
from shared.secagg.encoding import centred, count_offset, level_of, mean_update, quantise, rounded_norm, steps_per_unit
from shared.secagg.errors import IllegalVector
from shared.secagg.messages import Aggregate, Layout, Plan
from shared.settings import DistillationSettings, ProxyTerms, TrainingSettings
from shared.task import NumericColumn, TabularTask
from shared.work import AnswerWork, GateWork, Normalisation, TrainWork, counter_fields
from tests.support.secagg import Federation, Stream

Update = NDArray[np.float32]

TASK = TabularTask(family="tabular", label="ill", labels=("no", "yes"), columns=(NumericColumn(name="age"),))
WORK = TrainWork(
    version=0,
    seed=1,
    normalisation=Normalisation(),
    training=TrainingSettings(),
    distillation=DistillationSettings(),
    error_feedback=True,
)
FIELDS = counter_fields(WORK, TASK)
PLAN = Federation().plan()
WEIGHT = 40
NAMES = [field.name for field in FIELDS for _ in range(field.length)]


@dataclass(frozen=True)
class Done:
    update: Update | None
    weight: int = WEIGHT
    counters: NDArray[np.int64] = field(default_factory=lambda: np.arange(len(NAMES), dtype=np.int64))


class Untouched:
    """Residuals that nobody may ask for."""

    def load(self, run: str, version: int, size: int, begun: int = 0) -> Update:
        raise AssertionError("the residual was read")

    def save(self, run: str, version: int, residual: Update) -> None:
        raise AssertionError("the residual was written")


def shaped(size: int, width: int = 8, **changed: Any) -> Plan:
    # As in a run: another round, another model, and with it another rotation.
    model = bytes([changed.get("round", 0) % 256]) * 32
    return replace(PLAN, layout=Layout(size, len(NAMES), width), blob_digest=model, **changed)


def encoder(residuals: Residuals, institution: str = "ash", seed: int = 3, random: Callable[[int], bytes] | None = None) -> Encoder:
    return Encoder(institution, seed, TASK, residuals, random or Stream("noise"))


def normal(size: int, seed: int, norm: float = 0.8) -> Update:
    values = np.random.default_rng(seed).normal(size=size)
    return (norm * values / np.linalg.norm(values)).astype(np.float32)


def clipped(update: Update, clip_norm: float = PLAN.clip_norm) -> NDArray[np.float64]:
    exact = update.astype(np.float64)
    return exact * min(1.0, clip_norm / max(float(np.linalg.norm(exact)), 1e-300))


def heard(encoded: Encoded, plan: Plan) -> NDArray[np.float64]:
    """What the coordinator would take the words for, if they were the whole sum."""
    nobody = np.zeros(0, np.uint64)
    return mean_update(Aggregate(("ash",), encoded.weight, centred(encoded.words), nobody), plan)


def left(residuals: Residuals, plan: Plan, version: int = 0) -> Update:
    """What training ``version`` left over."""
    return residuals.load(plan.run, version + 1, plan.layout.update_words)


# What is masked and what is left over


@given(
    st.integers(1, 300),
    st.sampled_from([8, 16, 32]),
    st.booleans(),
    st.integers(1, PLAN.weight_cap),
    st.floats(0.01, 30.0),
    st.integers(0, 2**32),
)
def test_what_is_masked_and_what_is_left_over_are_the_clipped_update(
    size: int, width: int, rotation: bool, weight: int, norm: float, seed: int
) -> None:
    plan, residuals = shaped(size, width, rotation=rotation), MemoryResiduals()
    before = normal(size, seed + 1, 0.1)
    residuals.save(plan.run, 0, before)
    update = normal(size, seed, norm)
    encoded = encoder(residuals).encode(plan, WORK.model_copy(update={"version": 1}), Done(update, weight))
    together = heard(encoded, plan) + left(residuals, plan, 1)
    np.testing.assert_allclose(together, clipped(update) + before, atol=1e-5)


@pytest.mark.parametrize("rotation", [False, True])
def test_with_error_feedback_the_sum_of_many_rounds_is_the_sum_of_the_updates_but_for_the_last_rest(rotation: bool) -> None:
    residuals, size = MemoryResiduals(), 64
    update, sent, asked = normal(size, 0, 0.3), np.zeros(size), np.zeros(size)
    for version in range(60):
        plan = shaped(size, rotation=rotation, round=version + 1, clip_norm=3.0)
        done = Done(np.asarray(update * np.float32(1 + version % 3), np.float32))
        sent += heard(encoder(residuals).encode(plan, WORK.model_copy(update={"version": version}), done), plan)
        asked += done.update
    np.testing.assert_allclose(sent + left(residuals, plan, 59), asked, atol=1e-4)
    step = plan.weight_cap / WEIGHT / steps_per_unit(plan)
    assert np.linalg.norm(sent - asked) < np.sqrt(size) * step, "one rounding's worth, however many rounds"


def test_without_error_feedback_roundings_add_up_and_only_their_expectation_is_the_update() -> None:
    plain, size, rounds = WORK.model_copy(update={"error_feedback": False}), 64, 400
    update, errors = normal(size, 0, 0.3), []
    for number in range(1, rounds + 1):
        plan = shaped(size, round=number)
        errors.append(heard(encoder(Untouched()).encode(plan, plain, Done(update)), plan) - update)
    step = plan.weight_cap / WEIGHT / steps_per_unit(plan)
    # A rounding is off by at most half a step as a standard deviation: 5 of those of the mean.
    assert np.abs(np.mean(errors, axis=0)).max() < 5 * 0.5 * step / np.sqrt(rounds)
    assert np.linalg.norm(np.sum(errors, axis=0)) > 2 * np.sqrt(size) * step, "beyond what is left with error feedback"


@given(st.integers(2, 60), st.integers(5, PLAN.weight_cap), st.booleans(), st.integers(0, 2**32))
def test_what_is_left_over_stays_below_a_few_steps_however_coarse_the_ring(members: int, weight: int, rotation: bool, seed: int) -> None:
    residuals, size, update = MemoryResiduals(), 128, normal(128, seed, 1.0)
    for version in range(20):
        plan = shaped(size, rotation=rotation, round=version + 1, cohort=tuple(f"i{place:03d}" for place in range(members)))
        encoder(residuals).encode(plan, WORK.model_copy(update={"version": version}), Done(update, weight))
    step = plan.weight_cap / weight / steps_per_unit(plan)
    # Rounding leaves less than a step; a cut leaves more, and of what is full and heavy much is cut.
    assert np.linalg.norm(left(residuals, plan, 19)) < np.sqrt(size) * step + 1.5


def test_in_a_ring_of_two_steps_the_clip_norm_still_follows_the_updates() -> None:
    names, size, place = tuple(f"i{number:03d}" for number in range(60)), 64, NAMES.index("unclipped")
    encoders = {name: encoder(MemoryResiduals(), name) for name in names}
    norms = {name: 0.5 + number / 120 for number, name in enumerate(names)}
    settings, clip_norm = AggregationSettings(clip_norm=20.0), 20.0
    for version in range(60):
        plan = shaped(size, rotation=True, round=version + 1, cohort=names, clip_norm=clip_norm)
        work = WORK.model_copy(update={"version": version})
        done = {name: Done(normal(size, number + 100 * version, norms[name])) for number, name in enumerate(names)}
        counts = [encoders[name].encode(plan, work, done[name]).counters[place] for name in names]
        clip_norm = next_clip_norm(clip_norm, float(np.mean(counts)), settings)
    assert level_of(plan) == 2
    assert 0.5 < clip_norm < 1.5


def test_what_clipping_takes_away_is_not_kept() -> None:
    plan, residuals = shaped(50, 32), MemoryResiduals()
    encoder(residuals).encode(plan, WORK, Done(normal(50, 0, 100.0)))
    assert np.linalg.norm(left(residuals, plan)) < 1e-5


# The same arguments, the same words


def test_the_same_arguments_give_the_same_words_and_any_other_gives_others(tmp_path: Path) -> None:
    plan, done = shaped(200, rotation=True), Done(normal(200, 0))
    words = encoder(ResidualStore(tmp_path / "one")).encode(plan, WORK, done).words
    again = encoder(ResidualStore(tmp_path / "two"), random=Stream("other")).encode(plan, WORK, done).words
    assert words.tobytes() == again.tobytes()
    others = [
        encoder(MemoryResiduals(), "elm").encode(plan, WORK, done),
        encoder(MemoryResiduals(), seed=4).encode(plan, WORK, done),
        encoder(MemoryResiduals()).encode(replace(plan, round=plan.round + 1), WORK, done),
    ]
    assert len({words.tobytes(), *(other.words.tobytes() for other in others)}) == 4


def test_a_version_that_is_trained_again_starts_from_the_same_residual(tmp_path: Path) -> None:
    store, second = ResidualStore(tmp_path), WORK.model_copy(update={"version": 1})
    encoder(store).encode(shaped(100), WORK, Done(normal(100, 0)))
    before = left(store, shaped(100)).copy()
    assert before.any()
    plan, update = shaped(100, round=2), normal(100, 1)
    void = encoder(store).encode(plan, second, Done(update))
    restarted = encoder(ResidualStore(tmp_path))
    assert restarted.encode(plan, second, Done(update)).words.tobytes() == void.words.tobytes()
    anew = replace(plan, round=3)
    encoded = restarted.encode(anew, second, Done(update))
    np.testing.assert_allclose(heard(encoded, anew) + left(store, anew, 1), update + before, atol=1e-5)


# Weights and counters


@pytest.mark.parametrize(
    ("norm", "unclipped"), [(0.0, 1), (0.5, 1), (1.0, 1), (float(np.nextafter(np.float32(1), np.float32(2))), 0), (7.0, 0)]
)
def test_whether_an_update_was_within_the_clip_norm_is_counted(norm: float, unclipped: int) -> None:
    update = np.zeros(20, np.float32)
    update[3] = norm
    done = Done(update)
    encoded = encoder(MemoryResiduals()).encode(shaped(20), WORK, done)
    expected = done.counters.copy()
    expected[NAMES.index("unclipped")] = unclipped
    assert encoded.counters.tolist() == expected.tolist()
    assert done.counters.tolist() == [*range(len(NAMES))], "what the workbench gave is as it was"


def test_what_was_left_over_is_no_part_of_the_norm() -> None:
    residuals, place = MemoryResiduals(), NAMES.index("unclipped")
    residuals.save(PLAN.run, 0, normal(20, 0, 0.9))
    encoded = encoder(residuals).encode(shaped(20), WORK.model_copy(update={"version": 1}), Done(normal(20, 0, 0.9)))
    assert encoded.counters[place] == 1


def test_more_records_than_the_cap_weigh_as_the_cap() -> None:
    plan, update = shaped(60, rotation=True), normal(60, 0)
    above, at = (encoder(MemoryResiduals()).encode(plan, WORK, Done(update, weight)) for weight in (10**6, plan.weight_cap))
    assert above.weight == at.weight == plan.weight_cap
    assert above.words.tobytes() == at.words.tobytes()


@pytest.mark.parametrize("width", [8, 16, 32])
def test_work_that_only_counts_has_no_words_and_leaves_no_residual(width: int) -> None:
    done = Done(None, weight=10**6)
    encoded = encoder(Untouched()).encode(shaped(0, width), GateWork(candidates=("u8u8",)), done)
    assert (encoded.words.size, encoded.words.itemsize, encoded.weight) == (0, width // 8, PLAN.weight_cap)
    assert encoded.counters.tolist() == done.counters.tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused_before_a_residual_is_touched(bad: float) -> None:
    update = normal(30, 0)
    update[17] = bad
    with pytest.raises(IllegalVector, match="NaN or an infinity"):
        encoder(Untouched()).encode(shaped(30), WORK, Done(update))


@pytest.mark.parametrize("shape", [(29,), (31,), (0,), (30, 1)])
def test_an_update_of_another_shape_is_refused_before_a_residual_is_touched(shape: tuple[int, ...]) -> None:
    with pytest.raises(IllegalVector, match="shape"):
        encoder(Untouched()).encode(shaped(30), WORK, Done(np.zeros(shape, np.float32)))


# Fragments


@pytest.mark.parametrize("rotation", [False, True])
def test_outside_its_fragment_an_institution_sends_and_keeps_nothing(rotation: bool) -> None:
    fragments = {"ash": ((10, 30), (50, 60)), "elm": ((20, 30),)}
    plan, residuals = shaped(80, rotation=rotation, fragments=fragments, smallest_cohort=3), MemoryResiduals()
    inside = np.zeros(80, bool)
    inside[10:30] = inside[50:60] = True
    encoded = encoder(residuals).encode(plan, WORK, Done(normal(80, 0)))
    rest = left(residuals, plan)
    assert not encoded.words[~inside].any()
    assert not rest[~inside].any()
    assert encoded.words[10:20].any()
    assert encoded.words[20:30].any()
    assert encoded.words[50:60].any()
    assert rest[inside].any()


def test_coordinates_that_too_few_train_are_neither_sent_nor_kept() -> None:
    fragments = dict.fromkeys(PLAN.cohort[2:], ((0, 40),))
    plan, residuals = shaped(80, 32, fragments=fragments, smallest_cohort=3), MemoryResiduals()
    encoded = encoder(residuals).encode(plan, WORK, Done(normal(80, 0)))
    assert encoded.words[:40].any()
    assert not encoded.words[40:].any()
    assert not left(residuals, plan)[40:].any()


# Noise


def test_noise_is_added_to_the_words_and_never_to_what_is_left_over() -> None:
    plan, residuals, update = shaped(20_000, 16, rotation=True, noise=4.0), MemoryResiduals(), normal(20_000, 0)
    encoded = encoder(residuals).encode(plan, WORK, Done(update))
    generator = round_generator(3, "ash", plan.round, "rounding")
    clean = quantise(update, WEIGHT, plan, generator, institution="ash")
    noise = centred(encoded.words) - centred(clean)
    assert abs(noise.std() - 4.0) < 5 * 4.0 / np.sqrt(2 * noise.size)
    assert abs(noise.mean()) < 5 * 4.0 / np.sqrt(noise.size)
    expected = update - heard(Encoded(clean, WEIGHT, encoded.counters), plan)
    np.testing.assert_allclose(left(residuals, plan), expected, atol=1e-6)


def test_where_noise_is_added_what_was_left_over_is_clipped_with_the_update() -> None:
    plan, residuals, place = shaped(500, 16, noise=2.0), MemoryResiduals(), NAMES.index("unclipped")
    before, update = normal(500, 1, 0.9), normal(500, 0, 0.9)
    residuals.save(plan.run, 0, before)
    encoded = encoder(residuals).encode(plan, WORK.model_copy(update={"version": 1}), Done(update, plan.weight_cap))
    # The noise alone is about √d deviations long, and independent of the words.
    noise = 2.0 * np.sqrt(500)
    assert np.linalg.norm(centred(encoded.words)) < rounded_norm(plan) + 1.5 * noise
    assert np.linalg.norm(update + before) > 1.2, "which is beyond the clip norm"
    np.testing.assert_allclose(
        heard(encoded, plan) + left(residuals, plan, 1), clipped(update + before), atol=6 * 2.0 / steps_per_unit(plan)
    )
    assert encoded.counters[place] == 1


def test_noise_is_taken_modulo_the_ring() -> None:
    plan = shaped(5000, 16, noise=300.0)
    words = centred(encoder(MemoryResiduals()).encode(plan, WORK, Done(np.zeros(5000, np.float32))).words)
    assert np.abs(words).max() > level_of(plan), "noise has headroom of its own"
    assert abs(words.std() - 300.0) < 5 * 300.0 / np.sqrt(2 * words.size)


@pytest.mark.parametrize("norm", [0.5, 5.0])
def test_a_noised_clip_count_is_never_negative_and_right_in_the_mean(norm: float) -> None:
    plan, place = shaped(8, count_noise=2.0), NAMES.index("unclipped")
    each = encoder(MemoryResiduals())
    counts = [int(each.encode(plan, WORK, Done(normal(8, 0, norm))).counters[place]) for _ in range(600)]
    assert min(counts) >= 0
    assert len(set(counts)) > 5, "the noise is new each time"
    truth = float(norm <= plan.clip_norm)
    assert abs(np.mean(counts) - count_offset(plan) - truth) < 5 * 2.0 / np.sqrt(len(counts))


@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_answers_are_encoded_as_weights_are(noise: float) -> None:
    learning = {name: value for name, value in WORK if name not in ("kind", "fragments", "head_owners", "quantised")}
    answer = AnswerWork(**learning, proxy=ProxyTerms(), records=10, proxy_sha256="0" * 64)
    plan = shaped(20, 16, noise=noise, count_noise=noise)
    done, kept = Done(normal(20, 1, 5.0)), (MemoryResiduals(), MemoryResiduals())
    one, other = (encoder(residuals).encode(plan, work, done) for residuals, work in zip(kept, (WORK, answer), strict=True))
    assert (one.words.tobytes(), one.counters.tolist()) == (other.words.tobytes(), other.counters.tolist())
    assert left(kept[0], plan).tobytes() == left(kept[1], plan).tobytes()
    assert np.abs(left(kept[1], plan)).max() > 0


def test_what_is_left_over_of_a_student_is_not_added_to_one_of_another_shape(tmp_path: Path) -> None:
    residuals = ResidualStore(tmp_path)
    for version in range(3):
        plan = shaped(50)
        encoder(residuals).encode(plan, WORK.model_copy(update={"version": version}), Done(normal(50, version), 20))
    smaller = shaped(20)
    work = WORK.model_copy(update={"version": 3, "begun": 3})
    encoded = encoder(residuals).encode(smaller, work, Done(normal(20, 3), 20))
    fresh = encoder(MemoryResiduals()).encode(smaller, work, Done(normal(20, 3), 20))
    assert (encoded.words == fresh.words).all()
    assert left(residuals, smaller, version=3).any()
