"""Checkpoints: whole, exact, and refused when damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from server.state import Facts, RunState, consensus_file, file_before, student_file, vector_blob
from shared.errors import CheckpointError
from shared.work import Normalisation

STATE = RunState(
    Facts(phase="train", version=3, normalisation=Normalisation(means=(0.1,), deviations=(1e-7,)), ranges={"a": (-1.5, 2.0)}),
    np.array([1.0, -0.0, 1e-42], np.float32),
    {"first": np.array([0.1, 0.2, 0.3]), "second": np.array([1e-300, 1.0, 2.0])},
    np.array([1e-9, -0.0, 5e-324]),
    b"a packed delta",
)


def test_a_state_is_read_back_bit_by_bit(tmp_path: Path) -> None:
    STATE.write(tmp_path / "state.safetensors")
    read = RunState.read(tmp_path / "state.safetensors")
    assert read.facts == STATE.facts
    assert read.vector.tobytes() == STATE.vector.tobytes()
    assert {name: array.tobytes() for name, array in read.moments.items()} == {
        name: array.tobytes() for name, array in STATE.moments.items()
    }
    assert read.residual.tobytes() == STATE.residual.tobytes()
    assert read.delta == STATE.delta


def test_the_first_state_has_no_student_yet(tmp_path: Path) -> None:
    RunState(Facts(phase="statistics-range")).write(tmp_path / "state")
    read = RunState.read(tmp_path / "state")
    assert (read.vector.size, read.residual.size, read.delta) == (0, 0, b"")


@pytest.mark.parametrize("content", [b"", b"\0" * 40, STATE.to_bytes()[:-3], vector_blob(STATE.vector)])
def test_a_damaged_checkpoint_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(content)
    with pytest.raises(CheckpointError, match="state is damaged"):
        RunState.read(tmp_path / "state")


def test_encoding_twice_gives_the_same_bytes() -> None:
    assert STATE.to_bytes() == STATE.to_bytes()


def test_the_file_before_is_of_the_same_kind_and_one_version_back() -> None:
    for name in (student_file, consensus_file):
        assert file_before(name(12)) == name(11)
        assert file_before(name(100_000)) == name(99_999)
    assert student_file(3) != consensus_file(3)
