"""Pruning in a run: its place among the phases, what travels then, and that a run stopped anywhere ends with the same student."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

from server import pruning
from server.events import RoundClosed, RunStarted
from server.phases import PHASES, Kit, Sums, first_state
from server.planning import privacy_planner
from server.state import Facts, RunState
from server.stopping import Interrupted, StopSignal
from server.toolbox import Student
from shared.config import FederationConfig
from shared.deltas import patched
from shared.settings import NetworkSettings
from shared.work import CalibrateRangeWork, ImportanceWork, TrainWork, counter_fields
from tests.support.small import SIZE, SmallToolbox, digest_of, federation_table, final_vector, make_federation

PRUNE = {"prune": 0.5, "healing_rounds": 2}
SHAPE = NetworkSettings(width=4, depth=1, inner=4)


class Unpruned(SmallToolbox):
    """Nothing is worth removing."""

    def pruned(self, student: Student, sums: Any) -> tuple[NetworkSettings, Any]:
        return NetworkSettings(width=4, depth=1), student.vector


class Lossy(SmallToolbox):
    """Whatever was cut loses too much for the gate."""

    def loses_too_much(self, student: Student, ranges: Any, sums: Any) -> bool:
        return student.unpruned is not None and student.vector.size < student.unpruned.size


def kit(toolbox: SmallToolbox | None = None, **changed: Any) -> Kit:
    table = federation_table(2) | {"compression": PRUNE} | changed
    return Kit(FederationConfig.model_validate(table), toolbox or SmallToolbox())


def play(kit: Kit) -> list[tuple[str, RunState]]:
    """The phases, each with the state before it."""
    state, history = first_state(kit.config), list[tuple[str, RunState]]()
    while state.facts.phase in PHASES:
        asked = PHASES[state.facts.phase].ask(state, kit)
        counters = {field.name: np.full(field.length, 3, np.int64) for field in counter_fields(asked.work, kit.config.task)}
        history.append((state.facts.phase, state))
        sums = Sums(("ash", "birch", "elm"), 90, counters, np.full(asked.update_words, 0.5))
        state = PHASES[state.facts.phase].apply(state, sums, kit)
    return history


def states(kit: Kit, phase: str) -> list[RunState]:
    return [state for name, state in play(kit) if name == phase]


def test_a_trained_student_is_weighed_pruned_and_healed() -> None:
    used = kit()
    phases = [phase for phase, _ in play(used)][2:]
    assert phases == ["train", "train", "importance", "train", "train", "calibrate-range", "calibrate-histogram", "gate"]
    sizes = [(state.vector.size, state.facts.version, state.facts.student) for state in states(used, "train")]
    assert sizes == [(SIZE, 0, None), (SIZE, 1, None), (SIZE // 2, 2, SHAPE), (SIZE // 2, 3, SHAPE)]
    healed = states(used, "calibrate-range")[0]
    assert (healed.facts.version, healed.vector.size) == (4, SIZE // 2)
    # Two updates of 0.5 and the 3 records of the sums, then two more updates.
    np.testing.assert_allclose(healed.vector, 5.0, rtol=1e-5)


def test_without_it_a_run_is_as_it_was() -> None:
    assert "importance" not in [phase for phase, _ in play(kit(compression={}))]


def test_where_nothing_goes_nothing_is_healed() -> None:
    used = kit(Unpruned())
    phases = [phase for phase, _ in play(used)][2:]
    assert phases == ["train", "train", "importance", "calibrate-range", "calibrate-histogram", "gate"]
    assert states(used, "gate")[0].facts.student is None


def test_where_the_gate_refuses_what_was_pruned_the_student_before_it_is_judged() -> None:
    used = kit(Lossy())
    phases = [phase for phase, _ in play(used)][4:]
    ending = ["calibrate-range", "calibrate-histogram", "gate"]
    assert phases == ["importance", "train", "train", *ending, *ending]
    weighed, (first, second) = states(used, "importance")[0], states(used, "gate")
    assert (first.vector.size, first.facts.student) == (SIZE // 2, SHAPE)
    np.testing.assert_array_equal(second.vector, weighed.vector)
    assert (second.facts.student, second.facts.undone, second.unpruned.size) == (None, 2, 0)
    again = states(used, "calibrate-range")[1]
    assert again.facts.metrics == {"pruning_undone": 1.0}
    asked = PHASES["calibrate-range"].ask(again, used)
    assert (asked.blob_name, asked.delta) == ("student-v00004.safetensors", b"")
    np.testing.assert_array_equal(load(asked.blob)["vector"], weighed.vector)


def test_it_is_pruned_and_judged_again_only_once() -> None:
    class Refusing(SmallToolbox):
        def loses_too_much(self, student: Student, ranges: Any, sums: Any) -> bool:
            return True

    assert [phase for phase, _ in play(kit(Refusing()))].count("gate") == 2


def test_no_update_is_asked_for_beyond_those_that_were_planned() -> None:
    used = kit(Lossy(), compression=PRUNE | {"quantisation_aware": 1})
    history = play(used)
    assert sum(phase == "train" for phase, _ in history) == 2 + 2 + 1 == used.config.update_rounds
    assert states(used, "gate")[-1].facts.undone == 3


def test_what_was_done_is_said_in_plain_words() -> None:
    config = kit().config
    assert pruning.changes(states(kit(), "importance")[0], config) == ()
    assert pruning.changes(states(kit(), "gate")[0], config) == (f"pruned from {SIZE:,} to {SIZE // 2:,} numbers, healed for 2 rounds",)
    (undone,) = pruning.changes(states(kit(Lossy()), "gate")[1], config)
    assert undone == "pruning was undone, for the gate signed no file of the pruned student; 2 rounds of training went with it"


def test_a_run_that_goes_back_ends_alike_wherever_it_was_stopped(tmp_path: Path) -> None:
    whole = make_federation(tmp_path / "whole", compression=PRUNE)
    events: list[Any] = []
    expected = whole.run(events=events, toolbox=Lossy())
    assert final_vector(expected).size == SIZE
    stopped = make_federation(tmp_path / "stopped", compression=PRUNE)
    for _ in range(sum(isinstance(event, RoundClosed) for event in events) - 1):
        stop = StopSignal()
        with pytest.raises(Interrupted):
            stopped.run(stop=stop, toolbox=Lossy(), watch=lambda event, stop=stop: stop.set() if isinstance(event, RoundClosed) else None)
    assert digest_of(stopped.run(toolbox=Lossy())) == digest_of(expected)


def test_no_healing_goes_on_to_calibration_of_the_pruned_student() -> None:
    used = kit(compression={"prune": 0.5, "healing_rounds": 0})
    state = states(used, "calibrate-range")[0]
    asked = PHASES["calibrate-range"].ask(state, used)
    assert isinstance(asked.work, CalibrateRangeWork)
    assert (asked.work.student, asked.blob_name, asked.delta) == (SHAPE, "pruned-v00002.safetensors", b"")


def test_what_is_weighed_is_the_student_that_training_ended_with() -> None:
    used = kit()
    state = states(used, "importance")[0]
    asked = PHASES["importance"].ask(state, used)
    assert asked.work == ImportanceWork(normalisation=state.facts.normalisation, blocks=2, heads=4, inner=8)
    assert (asked.update_words, asked.blob_name) == (0, "student-v00002.safetensors")
    np.testing.assert_array_equal(load(asked.blob)["vector"], state.vector)
    metrics = states(used, "train")[2].facts.metrics
    assert metrics["records"] == 3.0
    assert (metrics["parameters"], metrics["parameters_kept"]) == (SIZE, SIZE // 2)


def test_a_pruned_student_goes_down_whole_once_and_then_as_deltas_of_its_own() -> None:
    used = kit()
    first, second = (PHASES["train"].ask(state, used) for state in states(used, "train")[2:])
    assert isinstance(first.work, TrainWork)
    assert isinstance(second.work, TrainWork)
    assert (first.blob_name, first.delta) == ("pruned-v00002.safetensors", b"")
    assert (second.blob_name, patched(first.blob, second.delta)) == ("pruned-v00003.safetensors", second.blob)
    assert first.update_words == second.update_words == SIZE // 2
    assert (first.work.student, first.work.version - first.work.begun, second.work.version - second.work.begun) == (SHAPE, 0, 1)


@pytest.mark.parametrize(("annealing", "spans"), [("run", [(0, 0.5), (0.5, 1), (0, 0.5), (0.5, 1)]), ("round", [(0, 1)] * 4)])
def test_healing_has_a_falling_rate_of_its_own(annealing: str, spans: list[tuple[float, float]]) -> None:
    used = kit(training={"annealing": annealing})
    works = [PHASES["train"].ask(state, used).work for state in states(used, "train")]
    assert [work.span for work in works if isinstance(work, TrainWork)] == spans


def test_a_budget_that_is_spent_early_ends_training_and_healing() -> None:
    config = kit().config
    early = RunState(Facts(phase="train", version=1))
    assert pruning.follows(early, config)
    pruned = pruning.pruned(replace(early, vector=np.zeros(9, np.float32)), SHAPE, np.zeros(4, np.float32), config)
    assert (pruned.facts.begun, pruning.last_version(pruned, config)) == (1, 3)
    assert not pruning.follows(pruned, config)


def test_a_budget_lasts_for_healing_too() -> None:
    planner = privacy_planner(kit(privacy={"epsilon": 8.0, "delta": 1e-5}).config)
    assert planner is not None
    assert planner.rounds == 4


def test_a_state_of_a_pruned_student_comes_back_from_its_checkpoint() -> None:
    state = states(kit(), "train")[3]
    assert RunState.from_bytes(state.to_bytes(), where="here").to_bytes() == state.to_bytes()
    assert RunState.from_bytes(state.to_bytes(), where="here").facts == state.facts


def test_a_run_ends_with_the_pruned_student_wherever_it_was_stopped(tmp_path: Path) -> None:
    whole = make_federation(tmp_path / "whole", compression=PRUNE)
    events: list[Any] = []
    result = whole.run(events=events)
    assert final_vector(result).size == SIZE // 2
    assert next(event for event in events if isinstance(event, RunStarted)).rounds == 4
    expected = digest_of(result)
    closed = sum(isinstance(event, RoundClosed) for event in events)
    stopped = make_federation(tmp_path / "stopped", compression=PRUNE)
    for _ in range(closed - 1):
        stop = StopSignal()
        with pytest.raises(Interrupted):
            stopped.run(stop=stop, watch=lambda event, stop=stop: stop.set() if isinstance(event, RoundClosed) else None)
    assert digest_of(stopped.run()) == expected


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"fragments": {"ash": ["head.*"]}}, r"which \[fragments\] has not"),
        ({"proxy": {"source": "generated"}}, r"which \[proxy\] has not"),
        ({"compression": {"prune": 1.0}}, "less than or equal to 0.95"),
        ({"compression": {"prune": 0.5, "keep_layers": 0.0}}, "greater than 0"),
    ],
)
def test_what_cannot_be_pruned_is_said_before_anyone_trains(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        FederationConfig.model_validate(federation_table(2) | {"compression": PRUNE} | changed)
