"""A step as far as a delta goes, nothing lost over many of them; and who gets which form of a round's model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from server.downlink import Move, RoundModel, held_files, move_to
from server.records import RoundRecord, StoredRound
from server.state import Facts, RunState, student_file, vector_blob
from shared.deltas import BLOCK, LEVELS, patched
from shared.errors import NotFiniteError

SIZE = 1500


def state_of(vector: NDArray[np.float32], residual: NDArray[np.float64] | None = None) -> RunState:
    return RunState(Facts(phase="train"), vector, residual=np.zeros(0) if residual is None else residual)


def steps(count: int, spread: float = 1e-2) -> NDArray[np.float64]:
    return np.random.default_rng(8).normal(0, spread, (count, SIZE))


def half_steps(change: NDArray[np.float64]) -> NDArray[np.float64]:
    largest = np.abs(np.pad(change, (0, -SIZE % BLOCK)).reshape(-1, BLOCK)).max(axis=1)
    return np.repeat(largest / LEVELS / 2, BLOCK)[:SIZE]


def test_whole_it_goes_all_the_way_and_keeps_nothing() -> None:
    target = steps(1)[0].astype(np.float32)
    move = move_to(target, state_of(np.zeros(SIZE, np.float32)), "full")
    assert move.vector is target
    assert (move.residual.size, move.delta) == (0, b"")


def test_an_institution_that_holds_the_student_gets_the_next_one_to_the_bit() -> None:
    state = state_of(steps(1, 1.0)[0].astype(np.float32))
    for step in steps(20):
        move = move_to((state.vector + step).astype(np.float32), state, "delta")
        assert patched(vector_blob(state.vector), move.delta) == vector_blob(move.vector)
        state = state_of(move.vector, move.residual)


def test_what_is_left_over_is_less_than_half_a_step_and_the_whole_of_what_is_missing() -> None:
    start = steps(1, 1.0)[0].astype(np.float32)
    state = state_of(start)
    wanted = start.astype(np.float64)
    for step in steps(200):
        target = (state.vector + step).astype(np.float32)
        taken = target.astype(np.float64) - state.vector
        wanted += taken
        change = taken + (state.residual if state.residual.size else 0)
        move = move_to(target, state, "delta")
        # The moved vector is rounded to float32 once more.
        assert (np.abs(move.residual) <= half_steps(change) * (1 + 1e-4) + np.spacing(np.abs(move.vector))).all()
        assert np.abs(move.vector + move.residual - wanted).max() < 1e-12, "student plus rest is the sum of all steps"
        state = state_of(move.vector, move.residual)


def test_without_what_was_left_over_small_steps_would_be_lost() -> None:
    step = np.full(SIZE, 1e-4)
    step[0] = 1.0  # a step of the block is 1/63, far more than the others take
    state = state_of(np.zeros(SIZE, np.float32))
    for _ in range(400):
        move = move_to((state.vector + step).astype(np.float32), state, "delta")
        state = state_of(move.vector, move.residual)
    assert np.abs(state.vector[1:BLOCK] - 400 * 1e-4).max() < 1 / LEVELS
    assert state.vector[1:BLOCK].min() > 0


def test_the_same_state_gives_the_same_move() -> None:
    state = state_of(steps(1, 1.0)[0].astype(np.float32), steps(2)[1])
    one, other = (move_to(steps(3)[2].astype(np.float32), state, "delta") for _ in range(2))
    assert (one.vector.tobytes(), one.residual.tobytes(), one.delta) == (other.vector.tobytes(), other.residual.tobytes(), other.delta)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_student_that_left_the_numbers_is_refused(bad: float) -> None:
    target = np.zeros(SIZE, np.float32)
    target[3] = bad
    with pytest.raises(NotFiniteError):
        move_to(target, state_of(np.zeros(SIZE, np.float32)), "delta")


def stored(number: int, version: int, answered: tuple[str, ...], blob: str | None = None) -> StoredRound:
    record = RoundRecord(number=number, phase="train", bytes_up=dict.fromkeys(answered, 9))
    return StoredRound(record, version, b"plan", student_file(version) if blob is None else blob)


ROUNDS = (
    stored(1, 0, ("ash", "elm", "fir", "oak"), blob=""),
    stored(2, 3, ("ash", "elm", "fir")),
    stored(3, 4, ("elm",)),  # void, trained anew
    stored(4, 4, ()),
)


def test_who_answered_holds_the_model_of_that_round() -> None:
    assert held_files(ROUNDS) == {"ash": student_file(3), "elm": student_file(4), "fir": student_file(3)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / student_file(4)).write_bytes(b"content")
    (tmp_path / student_file(4)).with_suffix(".delta").write_bytes(b"delta")
    return tmp_path


def test_each_gets_the_shortest_form_that_it_can_read(folder: Path) -> None:
    model = RoundModel.read(folder, ROUNDS[-1], ROUNDS)
    assert {name: model.blob_for(name) for name in ("ash", "elm", "oak", "new")} == {
        "ash": b"delta",
        "elm": b"",
        "oak": b"content",
        "new": b"content",
    }


def test_who_missed_more_than_one_version_gets_the_whole(folder: Path) -> None:
    model = RoundModel.read(folder, ROUNDS[-1], (stored(1, 2, ("ash",)),))
    assert model.blob_for("ash") == b"content"


def test_without_a_delta_and_without_memory_everyone_gets_the_whole(folder: Path) -> None:
    assert RoundModel.read(folder, ROUNDS[-1], ()).blob_for("ash") == b"content"
    (folder / student_file(4)).with_suffix(".delta").unlink()
    assert RoundModel.read(folder, ROUNDS[-1], ROUNDS).blob_for("ash") == b"content"


def test_a_round_without_a_model_sends_none(folder: Path) -> None:
    assert RoundModel.read(folder, ROUNDS[0], ROUNDS).blob_for("ash") == b""


def test_a_move_without_a_delta_has_nothing_left_over() -> None:
    assert Move(np.zeros(1, np.float32)).residual.size == 0
