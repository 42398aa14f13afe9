"""Shared entities at the coordinator: who is counted, whose rows move by how much, and that a student is never seen with them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load

from server.entities import attached, counted, moved, settled, student_size
from server.phases import PHASES, Kit
from server.state import RunState
from shared.attached import sized_content
from shared.deltas import patched
from shared.knowledge.slots import kept_slots, unit_of
from shared.work import EntitiesWork, TrainWork
from tests.server.test_knowledge import KNOWLEDGE
from tests.server.test_phases import kit, play, sums_for
from tests.support.small import SIZE, SmallToolbox, digest_of, final_vector, make_federation

SLOTS, WIDTH = 64, 4
SHARING = {**KNOWLEDGE, "embeddings": {"width": WIDTH}, "shared": {"slots": SLOTS}}
AMONG = ("ash", "birch", "cedar", "elm", "fir")


def sharing(**changed: Any) -> Kit:
    return kit(knowledge=SHARING, **changed)


def begun(counts: NDArray[np.int64], **changed: Any) -> tuple[RunState, Kit]:
    """A run that has just counted."""
    used = sharing(**changed)
    state = next(state for phase, state in play(used) if phase == "statistics-moments")
    return counted(replace(state, vector=np.arange(SIZE, dtype=np.float32)), counts, AMONG, used.config), used


def counts_of(*pairs: tuple[int, int]) -> NDArray[np.int64]:
    found = np.zeros(SLOTS, np.int64)
    for slot, count in pairs:
        found[slot] = count
    return found


@given(st.lists(st.integers(0, 5), min_size=SLOTS, max_size=SLOTS), st.integers(3, 5))
def test_a_slot_below_the_smallest_cohort_never_appears_in_what_goes_down(counts: list[int], smallest: int) -> None:
    state, used = begun(np.array(counts), aggregation={"smallest_cohort": smallest})
    asked = PHASES["train"].ask(replace(state, facts=state.facts.model_copy(update={"phase": "train"})), used)
    kept = kept_slots(load(asked.blob), SLOTS)
    assert kept.tolist() == [slot for slot, count in enumerate(counts) if count >= smallest]
    assert asked.update_words == load(asked.blob)["vector"].size == SIZE + len(kept) * WIDTH


def test_first_rows_are_the_seed_s_and_lie_behind_the_student() -> None:
    counts = np.full(SLOTS, 3)
    (one, used), (again, _), (other, _) = begun(counts), begun(counts), begun(counts, seed=9)
    assert one.vector.tobytes() == again.vector.tobytes() != other.vector.tobytes()
    np.testing.assert_array_equal(one.vector[:SIZE], np.arange(SIZE))
    assert student_size(one, used.config) == SIZE
    assert np.std(one.vector[SIZE:]) == pytest.approx(WIDTH**-0.5 * unit_of(1.0, SLOTS, WIDTH), rel=0.2)


@given(st.lists(st.sets(st.sampled_from(AMONG), min_size=3), min_size=1, max_size=6), st.lists(st.integers(1, 90), min_size=5, max_size=5))
def test_a_row_known_to_k_of_n_moves_by_the_plain_mean_over_those_k(knowers: list[set[str]], records: list[int]) -> None:
    state, used = begun(counts_of(*((place, len(who)) for place, who in enumerate(knowers))))
    mean_records = state.facts.weight_cap / 2
    random = np.random.default_rng(1)
    changes = {name: random.normal(size=(len(knowers), WIDTH)) * [[name in who] for who in knowers] for name in AMONG}
    # As institutions make it up for their weights, whatever they are.
    sent = {
        name: np.concatenate([np.zeros(SIZE), (change * mean_records / weight).reshape(-1)])
        for (name, change), weight in zip(changes.items(), records, strict=True)
    }
    total = sum(records)
    mean = sum(weight * sent[name] for name, weight in zip(AMONG, records, strict=True)) / total
    rows = moved(state, np.asarray(mean), total, AMONG, used.config).reshape(-1, WIDTH)
    expected = [np.sum([changes[name][row] for name in who], axis=0) / len(who) for row, who in enumerate(knowers)]
    np.testing.assert_allclose(rows - state.vector[SIZE:].reshape(-1, WIDTH), expected, atol=1e-5)


def test_a_row_that_the_lost_could_have_left_to_too_few_stays_as_it_is() -> None:
    state, used = begun(counts_of((2, 3), (7, 4), (9, 5)))
    mean = np.ones(state.vector.size)
    for survivors, still in ((AMONG, [True, True, True]), (AMONG[1:], [False, True, True]), (AMONG[2:], [False, False, True])):
        rows = moved(state, mean, 60, survivors, used.config).reshape(-1, WIDTH)
        assert (rows != state.vector[SIZE:].reshape(-1, WIDTH)).any(axis=1).tolist() == still
    joined_later = moved(state, mean, 60, (*AMONG, "late"), used.config).reshape(-1, WIDTH)
    assert (joined_later != state.vector[SIZE:].reshape(-1, WIDTH)).all(), "who was not counted is no loss"


@pytest.mark.parametrize("optimizer", ["fedavg", "fedyogi"])
def test_the_student_moves_as_it_does_without_rows_whatever_the_optimiser(optimizer: str) -> None:
    histories = [play(used) for used in (sharing(optimizer={"name": optimizer}), kit(optimizer={"name": optimizer}))]
    with_rows, without = ([state for phase, state in history if phase == "train"] for history in histories)
    for one, other in zip(with_rows, without, strict=True):
        np.testing.assert_allclose(one.vector[:SIZE], other.vector, rtol=1e-4)
        assert all(moment.size == SIZE for moment in one.moments.values())


def test_rows_are_left_behind_when_training_ends_and_the_student_goes_down_whole() -> None:
    used = sharing()
    history = play(used)
    assert [phase for phase, _ in history][:5] == ["statistics-range", "statistics-moments", "entities", "train", "train"]
    states = [state for phase, state in history if phase in ("entities", "train")]
    assert [state.vector.size for state in states] == [SIZE + SLOTS * WIDTH] * 2 + [SIZE]
    asked = PHASES["calibrate-range"].ask(states[-1], used)
    assert (sorted(load(asked.blob)), load(asked.blob)["vector"].size, asked.delta) == (["graph", "mapping", "vector"], SIZE, b"")
    assert states[-1].facts.shared is None
    assert history[-1][1].vector.size == SIZE
    assert settled(states[-1], used.config) is states[-1]


def test_between_rounds_rows_travel_as_deltas_and_graph_and_slots_do_not_travel_again() -> None:
    used = replace(sharing(), toolbox=SmallToolbox(graph_bytes=bytes(range(256)) * 400))
    states = [state for phase, state in play(used) if phase in ("entities", "train")][:2]
    asked = [PHASES["train"].ask(state, used) for state in states]
    for before, after in pairwise(asked):
        assert len(after.delta) < 1500 < len(after.blob)
        assert patched(before.blob, after.delta) == after.blob
    assert isinstance(asked[0].work, TrainWork)
    assert asked[0].work.knowledge is not None
    assert asked[0].work.knowledge.mean_records == states[0].facts.weight_cap / 2


def test_the_graph_goes_down_to_be_counted_and_the_state_remembers() -> None:
    used = sharing()
    state = next(state for phase, state in play(used) if phase == "statistics-moments")
    asked = PHASES["entities"].ask(state, used)
    assert asked.work == EntitiesWork(slots=SLOTS, graph_sha256=state.facts.graph_sha256)
    assert (sized_content(load(asked.blob)["graph"], "the graph"), asked.update_words) == (SmallToolbox().graph_bytes, 0)
    after = PHASES["entities"].apply(state, sums_for(state, used), used)
    assert after.facts.metrics == {"shared_entities": float(SLOTS)}
    assert RunState.from_bytes(after.to_bytes(), where="here").facts == after.facts
    bare = replace(kit(knowledge={key: value for key, value in SHARING.items() if key != "path"}), toolbox=SmallToolbox(graph_bytes=b""))
    lone = next(state for phase, state in play(bare) if phase == "statistics-moments")
    assert (PHASES["entities"].ask(lone, bare).blob, PHASES["entities"].ask(lone, bare).blob_name) == (b"", "")


def test_without_sharing_nothing_is_attached_or_cut() -> None:
    used = kit(knowledge=KNOWLEDGE)
    state = play(used)[1][1]
    assert (dict(attached(state, used.config)), student_size(state, used.config)) == ({}, SIZE)
    assert "entities" not in [phase for phase, _ in play(used)]


# Under masks

AGREED = {"entities": True}


def test_a_masked_run_with_rows_ends_with_the_student_of_one_without_and_twice_with_the_same(tmp_path: Path) -> None:
    runs = [make_federation(tmp_path / name, 3, policy=AGREED, knowledge=SHARING).run() for name in ("one", "two")]
    assert digest_of(runs[0]) == digest_of(runs[1])
    assert final_vector(runs[0]).size == SIZE
    (counting,) = (record for record in runs[0].rounds if record.phase == "entities")
    assert (counting.status, counting.metrics) == ("closed", {"shared_entities": float(SLOTS)})


def test_who_does_not_agree_refuses_in_plain_words_and_there_is_no_run(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 3, knowledge=SHARING, aggregation={"most_void_rounds": 0})
    events: list[Any] = []
    with pytest.raises(Exception, match="void rounds in a row"):
        federation.run(events=events)
    assert any("neither counts of its graph's hashed entities nor changes" in getattr(event, "reason", "") for event in events)
