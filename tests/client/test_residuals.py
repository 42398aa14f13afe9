"""What rounding left over: the newest earlier version of the same run, private, and nothing old."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from client.residuals import MemoryResiduals, Residuals, ResidualStore
from shared.errors import CheckpointError
from shared.versions import KEPT

SIZE = 5


def residual(value: float, size: int = SIZE) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.full(size, value, np.float32)


@pytest.fixture
def store(tmp_path: Path) -> ResidualStore:
    return ResidualStore(tmp_path / "state")


def loaded(residuals: Residuals, version: int, run: str = "trial") -> float:
    """The one value of the residual that training ``version`` starts from."""
    (value,) = set(residuals.load(run, version, SIZE).tolist())
    return float(value)


def numbers(folder: Path) -> list[int]:
    return sorted(int(path.stem.rpartition("v")[2]) for path in folder.glob("residual-v*"))


@pytest.mark.parametrize("make", [ResidualStore, lambda folder: MemoryResiduals()])
def test_a_round_starts_from_what_the_round_before_left_over(make: type[ResidualStore], tmp_path: Path) -> None:
    residuals = make(tmp_path)
    assert loaded(residuals, 0) == 0.0
    for version in range(5):
        residuals.save("trial", version, residual(version + 1))
        assert loaded(residuals, version + 1) == version + 1
    assert loaded(residuals, 0) == 0.0, "a run's first round starts from nothing"


def test_a_version_that_is_trained_again_starts_from_the_same(store: ResidualStore, tmp_path: Path) -> None:
    store.save("trial", 0, residual(1))
    for attempt in (2, 3):
        assert loaded(store, 1) == 1
        store.save("trial", 1, residual(attempt))
    assert loaded(ResidualStore(tmp_path / "state"), 2) == 3, "and the last attempt is the one that counts, after a restart too"


@given(st.integers(0, 3), st.integers(1, 50))
def test_who_was_away_goes_on_from_its_own_last_round(first: int, rounds: int) -> None:
    residuals = MemoryResiduals()
    residuals.save("trial", first, residual(7))
    assert loaded(residuals, first + rounds) == 7


def test_the_store_gives_who_was_away_its_own_last_round(store: ResidualStore) -> None:
    store.save("trial", 3, residual(7))
    assert [loaded(store, version) for version in (3, 4, 40)] == [0, 7, 7]


def test_another_run_starts_from_nothing(store: ResidualStore) -> None:
    for version in range(3):
        store.save("trial", version, residual(1))
    assert [loaded(store, version, "other") for version in range(5)] == [0] * 5
    store.save("other", 0, residual(2))
    assert [loaded(store, version, "other") for version in range(3)] == [0, 2, 2]
    assert loaded(store, 3) == 0, "what the run before left over is gone"


def test_old_versions_are_removed_and_those_ahead_too(store: ResidualStore, tmp_path: Path) -> None:
    for version in range(9):
        store.save("trial", version, residual(version))
    assert numbers(tmp_path / "state") == [*range(10 - KEPT, 10)]
    store.save("other", 7, residual(0))
    assert numbers(tmp_path / "state") == [7, 8]
    store.save("third", 0, residual(0))
    assert numbers(tmp_path / "state") == [1]


def test_the_same_bits_come_back(store: ResidualStore) -> None:
    kept = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    store.save("trial", 0, kept)
    assert store.load("trial", 1, 1000).tobytes() == kept.tobytes()


def test_it_is_the_institution_s_alone(store: ResidualStore, tmp_path: Path) -> None:
    store.save("trial", 0, residual(1))
    (path,) = (tmp_path / "state").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\xff" * 64])
def test_a_damaged_file_is_said_so(content: bytes, store: ResidualStore, tmp_path: Path) -> None:
    store.save("trial", 0, residual(1))
    (tmp_path / "state" / "residual-v00001.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"residual-v00001\.safetensors is damaged; remove it"):
        store.load("trial", 1, SIZE)


@pytest.mark.parametrize("kept", [residual(1, SIZE + 1), residual(1, 0), np.ones(SIZE)])
def test_a_residual_of_another_student_is_refused(
    kept: np.ndarray[tuple[int], np.dtype[np.float32]], store: ResidualStore, tmp_path: Path
) -> None:
    store.save("trial", 0, residual(1))
    (tmp_path / "state" / "residual-v00001.safetensors").write_bytes(save({"trial": kept}))
    with pytest.raises(CheckpointError, match=f"not of one with {SIZE} parameters"):
        store.load("trial", 1, SIZE)
    assert not store.load("trial", 0, SIZE).any(), "the first round needs none"


def test_other_files_in_the_folder_are_left_alone(store: ResidualStore, tmp_path: Path) -> None:
    store.save("trial", 0, residual(1))
    for name in ("residual-vnone.safetensors", "residual-v1.safetensors", "model.safetensors"):
        (tmp_path / "state" / name).write_bytes(b"other")
    assert loaded(store, 1) == 1
    store.save("trial", 40, residual(1))
    assert {path.name for path in (tmp_path / "state").iterdir()} == {
        "residual-vnone.safetensors",
        "residual-v1.safetensors",
        "model.safetensors",
        "residual-v00041.safetensors",
    }


def test_an_institution_that_missed_rounds_of_a_smaller_student_begins_anew(store: ResidualStore) -> None:
    store.save("trial", 0, residual(7))
    smaller = store.load("trial", 4, SIZE - 1, begun=3)
    assert smaller.shape == (SIZE - 1,)
    assert not smaller.any()
