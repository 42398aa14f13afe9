"""Phases as functions: what is asked, what a sum does to the state, and in which order."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load

from server.phases import PHASES, SMALLEST_CLIP, Kit, Sums, decode_counters, end_training, first_state, next_clip_norm, weight_cap
from server.state import RunState
from server.toolbox import FLOAT, Ranges, Student
from shared.compress.devices import WEIGHTS_ONLY
from shared.config import AggregationSettings, FederationConfig
from shared.deltas import patched
from shared.errors import ArtifactError, ConfigError
from shared.work import FIXED_POINT, GridWork, TrainWork, counter_fields, trains
from tests.support.small import SIZE, SmallToolbox, federation_table

IMAGES = {"family": "image", "labels": ["no", "yes"], "size": 8, "channels": 1}


def kit(**changed: Any) -> Kit:
    return Kit(FederationConfig.model_validate(federation_table(2) | changed), SmallToolbox())


def sums_for(state: RunState, kit: Kit, value: int = 3, update: float = 0.5) -> Sums:
    asked = PHASES[state.facts.phase].ask(state, kit)
    fields = counter_fields(asked.work, kit.config.task)
    counters = {field.name: np.full(field.length, value, np.int64) for field in fields}
    return Sums(("ash", "birch", "elm"), 90, counters, np.full(asked.update_words, update))


def play(kit: Kit) -> list[tuple[str, RunState]]:
    state, history = first_state(kit.config), list[tuple[str, RunState]]()
    while state.facts.phase in PHASES:
        phase = state.facts.phase
        state = PHASES[phase].apply(state, sums_for(state, kit), kit)
        history.append((phase, state))
    return history


def test_phases_of_a_table_follow_each_other() -> None:
    phases = [phase for phase, _ in play(kit())]
    assert phases == ["statistics-range", "statistics-moments", "train", "train", "calibrate-range", "calibrate-histogram", "gate"]


AWARE = {"compression": {"quantisation_aware": 3}}


def test_a_student_whose_file_computes_in_float_does_not_learn_for_integers() -> None:
    class Floats(SmallToolbox):
        def candidates(self, student: Student, ranges: Ranges) -> dict[str, bytes]:
            return {FLOAT: b"whole", WEIGHTS_ONLY: b"part", "u8u8": b"integers"}

    phases = [phase for phase, _ in play(replace(kit(**AWARE), toolbox=Floats()))]
    assert phases.count("train") == 2
    assert phases.count("calibrate-histogram") == 1


def test_counts_of_other_files_than_were_asked_about_are_not_kept() -> None:
    used = kit()
    state = next(state for phase, state in play(used) if phase == "calibrate-histogram")
    asked = hashlib.sha256(PHASES["gate"].ask(state, used).blob).digest()
    sums = sums_for(state, used)
    assert PHASES["gate"].apply(state, replace(sums, blob_digest=asked), used).facts.judged
    with pytest.raises(ArtifactError, match="made otherwise now"):
        PHASES["gate"].apply(state, replace(sums, blob_digest=bytes(32)), used)


def test_a_quantisation_aware_student_goes_back_to_training_once() -> None:
    phases = [phase for phase, _ in play(kit(**AWARE))]
    counting = ["calibrate-range", "calibrate-histogram"]
    assert phases[2:] == ["train"] * 2 + counting + ["train"] * 3 + counting + ["gate"]


def test_it_learns_at_the_agreed_ranges_and_the_last_rate_and_deltas_go_on() -> None:
    used = kit(**AWARE)
    history = play(used)
    calibrated = next(state for phase, state in history if phase == "calibrate-histogram")
    asked = PHASES["train"].ask(calibrated, used)
    assert isinstance(asked.work, TrainWork)
    assert (asked.work.version, asked.work.span, asked.work.knowledge) == (2, (1.0, 1.0), None)
    assert asked.work.quantised == GridWork(grid="u8s8-7bit", ranges=calibrated.facts.ranges)
    assert asked.blob == PHASES["calibrate-range"].ask(calibrated, used).blob
    after = PHASES["train"].apply(calibrated, sums_for(calibrated, used), used)
    assert patched(asked.blob, PHASES["train"].ask(after, used).delta) == PHASES["train"].ask(after, used).blob
    assert RunState.from_bytes(after.to_bytes(), where="here").facts == after.facts


def test_training_in_float_knows_no_grid() -> None:
    used = kit(**AWARE)
    for phase, state in play(used)[:3]:
        if state.facts.phase == "train":
            asked = PHASES["train"].ask(state, used)
            assert isinstance(asked.work, TrainWork), phase
            assert asked.work.quantised is None


def test_a_budget_that_ends_learning_with_the_grid_leads_to_the_gate() -> None:
    used = kit(**AWARE)
    state = end_training(next(state for phase, state in play(used) if phase == "calibrate-histogram"), used)
    phases = []
    while state.facts.phase in PHASES:
        phases.append(state.facts.phase)
        state = PHASES[state.facts.phase].apply(state, sums_for(state, used), used)
    assert phases == ["calibrate-range", "calibrate-histogram", "gate"]


def test_images_need_no_range_pass() -> None:
    state = first_state(kit(task=IMAGES).config)
    assert (state.facts.phase, state.facts.exponents) == ("statistics-moments", (8,))


def test_a_table_without_numbers_needs_no_range_pass() -> None:
    columns = [{"kind": "categorical", "name": "ward", "categories": ["a", "b"]}]
    task = {"family": "tabular", "label": "ill", "labels": ["no", "yes"], "columns": columns}
    assert first_state(kit(task=task).config).facts.phase == "statistics-moments"


def test_only_training_carries_an_update_and_the_fair_weight_cap() -> None:
    used = kit()
    state = first_state(used.config)
    while state.facts.phase in PHASES:
        asked = PHASES[state.facts.phase].ask(state, used)
        assert asked.update_words == (SIZE if trains(asked.work) else 0)
        assert asked.weight_cap == (60 if trains(asked.work) else 2**31)
        assert bool(asked.blob) == bool(asked.blob_name)
        state = PHASES[state.facts.phase].apply(state, sums_for(state, used), used)


@pytest.mark.parametrize(("weight", "institutions", "cap"), [(90, 3, 60), (91, 3, 61), (1, 3, 1), (0, 4, 1), (10, 1, 20)])
def test_the_weight_cap_is_twice_the_mean_institution(weight: int, institutions: int, cap: int) -> None:
    assert weight_cap(weight, institutions, AggregationSettings()) == cap
    assert weight_cap(weight, institutions, AggregationSettings(weighting="equal")) == 1


def test_training_moves_the_student_and_measures_it_before_the_move() -> None:
    after = dict(reversed(play(kit())))["train"]
    np.testing.assert_allclose(after.vector + after.residual, 0.5, rtol=1e-15)
    np.testing.assert_allclose(after.vector, 0.5, rtol=1e-6)
    assert after.facts.version == 1
    assert after.facts.metrics == {"version": 0.0, "records": 3.0, "accuracy": 2.0, "loss": 1 / FIXED_POINT, "train_loss": 1 / FIXED_POINT}


def test_the_student_travels_as_it_is() -> None:
    used = kit()
    state = next(state for phase, state in play(used) if phase == "train")
    asked = PHASES["train"].ask(state, used)
    assert isinstance(asked.work, TrainWork)
    assert asked.work.version == 1
    assert asked.blob_name == "student-v00001.safetensors"
    np.testing.assert_array_equal(load(asked.blob)["vector"], state.vector)


def test_the_next_student_travels_as_a_delta_from_the_last_and_stays_the_one_that_is_calibrated() -> None:
    used = kit()
    first, second = (state for phase, state in play(used) if phase == "train")
    asked = PHASES["calibrate-range"].ask(second, used)
    assert patched(PHASES["train"].ask(first, used).blob, asked.delta) == asked.blob
    np.testing.assert_array_equal(load(asked.blob)["vector"], second.vector)


def test_whole_the_student_is_the_optimiser_s_and_there_is_no_delta() -> None:
    used = kit(aggregation={"downlink": "full"})
    last = dict(play(used))["train"]
    asked = PHASES["calibrate-range"].ask(last, used)
    np.testing.assert_array_equal(last.vector, np.full(SIZE, 1.0, np.float32))
    assert (asked.delta, last.residual.size) == (b"", 0)


def test_no_evaluation_gives_no_figures() -> None:
    used = kit()
    state = next(state for phase, state in play(used) if phase == "statistics-moments")
    after = PHASES["train"].apply(state, sums_for(state, used, value=0), used)
    assert after.facts.metrics == {"version": 0.0}


def test_label_shares_are_learnt_from_the_masked_confusion_and_kept() -> None:
    used = kit()
    state = next(state for phase, state in play(used) if phase == "statistics-moments")
    first = PHASES["train"].ask(state, used).work
    assert isinstance(first, TrainWork)
    assert first.label_shares == ()
    sums = sums_for(state, used)
    confusion = sums.counters["eval_confusion"]
    confusion[:] = [5, 1, 1, 2]
    after = PHASES["train"].apply(state, sums, used)
    second = PHASES["train"].ask(after, used).work
    assert isinstance(second, TrainWork)
    assert second.label_shares == pytest.approx((0.65, 0.35))
    blind = PHASES["train"].apply(after, sums_for(after, used, value=0), used)
    assert blind.facts.label_shares == second.label_shares


def test_the_gate_runs_the_candidates_and_keeps_their_counts() -> None:
    used = kit()
    history = play(used)
    before = next(state for phase, state in history if phase == "calibrate-histogram")
    asked = PHASES["gate"].ask(before, used)
    assert asked.work.kind == "gate"
    assert set(load(asked.blob)) == {"float", "u8u8"}
    assert history[-1][1].facts.gate == {"gate_records": (3,), "gate_float_right": (3,), "gate_right": (3,), "gate_agree": (3,)}
    assert history[-1][1].facts.ranges == {"first": (-0.5, 0.5), "second": (-0.5, 0.5)}


def test_counters_are_named_by_their_place() -> None:
    used = kit()
    state = next(state for phase, state in play(used) if phase == "statistics-moments")
    work = PHASES["train"].ask(state, used).work
    named = decode_counters(work, used.config.task, np.arange(9, dtype=np.uint64))
    assert {name: counts.tolist() for name, counts in named.items()} == {
        "eval_records": [0],
        "eval_loss": [1],
        "eval_confusion": [2, 3, 4, 5],
        "train_records": [6],
        "train_loss": [7],
        "unclipped": [8],
    }


# The clip norm

PARTS = st.floats(-2.0, 3.0)
"""Of the survivors within the clip norm; noise may take a count out of 0 to 1."""
NORMS = st.floats(1e-9, 1e6)


@pytest.mark.parametrize("quantile", [0.3, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("scale", [1e-2, 1.0, 20.0])
def test_the_clip_norm_moves_to_the_quantile_of_the_updates_norms(quantile: float, scale: float) -> None:
    settings = AggregationSettings(clip_norm=1000.0, clip_quantile=quantile, clip_rate=0.2)
    norms = scale * np.random.default_rng(0).lognormal(0, 0.5, 200)
    clip_norm = 0.0
    for _ in range(1000):
        clip_norm = next_clip_norm(clip_norm, float(np.mean(norms <= (clip_norm or settings.clip_norm))), settings)
    assert np.mean(norms <= clip_norm) == pytest.approx(quantile, abs=0.02)


@given(NORMS, PARTS, st.floats(0.01, 1.0), st.floats(0.01, 10.0), NORMS)
def test_the_clip_norm_is_never_above_the_settings_nor_vanishes(
    before: float, unclipped: float, quantile: float, rate: float, largest: float
) -> None:
    settings = AggregationSettings(clip_norm=largest, clip_quantile=quantile, clip_rate=rate)
    assert settings.clip_norm * SMALLEST_CLIP <= next_clip_norm(before, unclipped, settings) <= settings.clip_norm


@given(st.floats(0.0, 1.0), st.floats(0.01, 1.0))
def test_the_clip_norm_grows_where_too_few_are_within_and_shrinks_where_too_many_are(unclipped: float, quantile: float) -> None:
    after = next_clip_norm(1.0, unclipped, AggregationSettings(clip_norm=1e4, clip_quantile=quantile))
    assert np.sign(after - 1.0) == np.sign(np.exp(quantile - unclipped) - 1.0)


@given(NORMS, PARTS)
def test_the_clip_norm_is_fixed_with_quantile_0(before: float, unclipped: float) -> None:
    settings = AggregationSettings(clip_norm=2.5, clip_quantile=0.0)
    assert next_clip_norm(0.0, unclipped, settings) == 2.5
    assert next_clip_norm(before, unclipped, settings) == before


@given(st.floats(1.0, 100.0), st.floats(0.01, 1.0))
def test_a_count_that_noise_took_out_of_range_says_no_more_than_all_or_none(beyond: float, quantile: float) -> None:
    settings = AggregationSettings(clip_norm=100.0, clip_quantile=quantile)
    assert next_clip_norm(1.0, beyond, settings) == next_clip_norm(1.0, 1.0, settings)
    assert next_clip_norm(1.0, 1.0 - beyond, settings) == next_clip_norm(1.0, 0.0, settings)


@pytest.mark.parametrize(("unclipped", "factor"), [(0, np.exp(0.5)), (3, np.exp(-0.5))])
def test_training_asks_for_the_clip_norm_that_the_last_count_gave(unclipped: int, factor: float) -> None:
    used = kit(rounds=9, aggregation={"clip_norm": 8.0, "clip_quantile": 0.5, "clip_rate": 1.0})
    state = next(state for phase, state in play(used) if phase == "statistics-moments")
    assert PHASES["train"].ask(state, used).clip_norm == 0.0, "the settings' own"
    for number in range(1, 4):
        sums = sums_for(state, used)
        sums.counters["unclipped"][:] = unclipped
        state = PHASES["train"].apply(state, sums, used)
        assert PHASES["train"].ask(state, used).clip_norm == pytest.approx(min(8.0, 8.0 * factor**number))


def test_accuracy_is_told_by_head_too() -> None:
    heads = [{"name": "one", "labels": ["a", "b"]}, {"name": "two", "labels": ["c", "d"]}, {"name": "three", "labels": ["e", "f"]}]
    used = kit(task=IMAGES | {"labels": list("abcdef"), "heads": heads}, aggregation={"lone_heads": True})
    state = first_state(used.config)
    state = PHASES[state.facts.phase].apply(state, sums_for(state, used), used)
    sums = sums_for(state, used)
    confusion = np.zeros((6, 6), np.int64)
    confusion[:4, :4] = [[3, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 2, 0]]
    counters = {**sums.counters, "eval_confusion": confusion.reshape(-1), "eval_records": np.array([8])}
    found = PHASES["train"].apply(state, replace(sums, counters=counters), used).facts.metrics
    assert {name: value for name, value in found.items() if "." in name} == {"accuracy.one": 0.75, "accuracy.two": 0.25}


def test_a_head_s_outputs_are_averaged_over_those_who_have_it() -> None:
    heads = [{"name": "one", "labels": ["a", "b"]}, {"name": "two", "labels": ["c", "d"]}, {"name": "three", "labels": ["e", "f"]}]
    used = kit(
        task=IMAGES | {"labels": list("abcdef"), "heads": heads},
        aggregation={"downlink": "full", "lone_heads": True},
        optimizer={"name": "fedavg", "learning_rate": 1.0},
    )
    state = first_state(used.config)
    state = PHASES[state.facts.phase].apply(state, sums_for(state, used), used)
    sums = sums_for(state, used)
    counters = {**sums.counters, "head_weights": np.array([90, 30, 0])}
    moved = PHASES["train"].apply(state, replace(sums, counters=counters), used).vector - state.vector
    assert moved[:7].tolist() == pytest.approx([0.5, 0.5, 1.5, 1.5, 0.5, 0.5, 0.5])


def test_owners_of_heads_are_asked_for_before_anyone_is_and_travel_in_the_plan() -> None:
    heads = [{"name": "one", "labels": ["a", "b"]}, {"name": "two", "labels": ["c", "d"]}, {"name": "three", "labels": ["e", "f"]}]
    task = IMAGES | {"labels": list("abcdef"), "heads": heads}
    with pytest.raises(ConfigError, match="head_owners does not say"):
        first_state(kit(task=task).config)
    owners = {"one": ("ash", "birch", "elm"), "two": ("ash", "birch", "elm"), "three": ("birch", "elm", "fir")}
    used = kit(task=task, head_owners=owners)
    state = first_state(used.config)
    state = PHASES[state.facts.phase].apply(state, sums_for(state, used), used)
    work = PHASES["train"].ask(state, used).work
    assert isinstance(work, TrainWork)
    assert work.head_owners == owners
