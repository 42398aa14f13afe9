"""Retina photographs: their splits, their size, and how they are dealt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import photographs, retinopathy
from shared.errors import MissingFileError


def save(path: Path, **parts: int) -> None:
    random = np.random.default_rng(1)
    arrays: dict[str, Any] = {}
    for part, count in parts.items():
        arrays[f"{part}_images"] = random.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
        arrays[f"{part}_labels"] = (np.arange(count) % 5).astype(np.uint8)[:, None]
    np.savez(path, **arrays)


def test_a_set_with_its_own_validation_keeps_it(tmp_path: Path) -> None:
    save(tmp_path / "retinamnist.npz", train=50, val=10, test=20)
    found = photographs.read("retinamnist", tmp_path)
    assert (len(found.train), len(found.validation), len(found.test), found.size) == (50, 10, 20, 8)
    assert found.train.labels.shape == (50,)


def test_idrid_is_halved_and_a_fifth_is_held_out(tmp_path: Path) -> None:
    save(tmp_path / "idrid_grading_128.npz", train=50, test=20)
    found = photographs.read("idrid", tmp_path)
    assert (len(found.train), len(found.validation), len(found.test), found.size) == (40, 10, 20, 4)
    assert np.bincount(found.validation.labels).tolist() == [2] * 5


def test_a_set_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"idrid_grading_128\.npz"):
        photographs.read("idrid", tmp_path)


def test_halving_takes_means() -> None:
    image = np.array([[[[0]], [[2]]], [[[4]], [[6]]]], np.uint8).reshape(1, 2, 2, 1)
    assert photographs.halved(image).tolist() == [[[[3]]]]


def test_every_photograph_is_dealt_once() -> None:
    found = photographs.synthetic()
    sites = retinopathy.sites(found, seed=4)
    assert len(sites) == retinopathy.HOSPITALS
    assert sum(len(split.train) for split in sites.values()) == len(found.train)
    assert sum(len(split.test) for split in sites.values()) == len(found.validation)
    assert min(len(split.train) for split in sites.values()) >= 10
