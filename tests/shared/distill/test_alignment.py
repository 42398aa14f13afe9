"""Every version starts from what the one before left, however often it is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from shared.distill.alignment import AlignmentStore
from shared.errors import CheckpointError
from shared.versions import KEPT


def state(value: float) -> dict[str, torch.Tensor]:
    return {"p": torch.full((2,), value)}


def test_a_version_leaves_the_next(tmp_path: Path) -> None:
    store = AlignmentStore(tmp_path / "state")
    assert store.load(0) == {}
    for version in range(4):
        store.save(version, state(version))
        assert torch.equal(store.load(version + 1)["p"], torch.full((2,), float(version)))


def test_training_a_version_again_starts_where_it_did(tmp_path: Path) -> None:
    store = AlignmentStore(tmp_path)
    store.save(0, state(1))
    store.save(1, state(2))
    assert torch.equal(store.load(1)["p"], state(1)["p"])
    store.save(1, state(3))
    assert torch.equal(store.load(2)["p"], state(3)["p"])


def test_an_institution_that_was_away_goes_on_from_its_own_last_round(tmp_path: Path) -> None:
    store = AlignmentStore(tmp_path)
    store.save(2, state(5))
    assert torch.equal(store.load(7)["p"], state(5)["p"])
    assert store.load(2) == {}


def test_a_new_run_starts_anew(tmp_path: Path) -> None:
    store = AlignmentStore(tmp_path)
    for version in range(6):
        store.save(version, state(version))
    assert store.load(0) == {}
    store.save(0, state(9))
    assert torch.equal(store.load(5)["p"], state(9)["p"])


def test_old_versions_are_removed_and_all_are_private(tmp_path: Path) -> None:
    store = AlignmentStore(tmp_path)
    for version in range(9):
        store.save(version, state(version))
    assert len(list(tmp_path.iterdir())) == KEPT
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_an_empty_state_leaves_no_file(tmp_path: Path) -> None:
    AlignmentStore(tmp_path).save(0, {})
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    store = AlignmentStore(tmp_path)
    store.save(0, state(1))
    (tmp_path / "alignment-v00001.safetensors").write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="alignment-v00001"):
        store.load(1)


def test_a_run_without_projections_does_not_meet_those_of_an_earlier_run(tmp_path: Path) -> None:
    store = AlignmentStore(tmp_path)
    for version in range(3):
        store.save(version, {"project": torch.zeros(1)})
    store.save(0, {})
    assert store.load(1) == {}
    assert list(tmp_path.iterdir()) == []
