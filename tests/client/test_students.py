"""An institution's own student from round to round: the same version starts from the same student, whatever happened since."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from client.students import StudentStore, student_key
from shared.config import InstitutionConfig
from shared.errors import CheckpointError
from shared.versions import KEPT
from tests.client.test_answers import answer_work, config_of

KEY = "k" * 64


def vector(value: float) -> np.ndarray:
    return np.full(5, value, np.float32)


def value_of(found: np.ndarray | None) -> float | None:
    return None if found is None else float(found[0])


def test_a_version_starts_from_what_the_newest_earlier_one_left(tmp_path: Path) -> None:
    store = StudentStore(tmp_path)
    assert store.load(0, KEY) is None
    store.save(0, KEY, vector(1))
    store.save(1, KEY, vector(2))
    assert [value_of(StudentStore(tmp_path).load(version, KEY)) for version in (0, 1, 2, 5)] == [None, 1, 2, 2]
    store.save(1, KEY, vector(3))
    assert [value_of(store.load(version, KEY)) for version in (1, 2)] == [1, 3]


def test_few_are_kept_private_and_those_of_an_earlier_run_are_removed(tmp_path: Path) -> None:
    store = StudentStore(tmp_path)
    for version in range(6):
        store.save(version, KEY, vector(version))
    kept = sorted(tmp_path.iterdir())
    assert len(kept) == KEPT
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    store.save(0, KEY, vector(9))
    assert [path.name for path in tmp_path.iterdir()] == ["own-student-v00001.safetensors"]


def test_another_run_s_student_is_not_gone_on_with(tmp_path: Path) -> None:
    store = StudentStore(tmp_path)
    store.save(0, KEY, vector(1))
    assert store.load(1, "other") is None


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    StudentStore(tmp_path).save(0, KEY, vector(1))
    next(tmp_path.iterdir()).write_bytes(b"damage")
    with pytest.raises(CheckpointError, match="is damaged; restore a copy, or remove it"):
        StudentStore(tmp_path).load(1, KEY)


def test_the_key_is_of_the_run_and_the_shape_and_not_of_the_round(tmp_path: Path) -> None:
    config, work = config_of(tmp_path), answer_work()
    larger = InstitutionConfig.model_validate({**config.model_dump(), "student": {"width": 16, "depth": 1}})
    same = student_key(config, work.model_copy(update={"version": 4}))
    assert student_key(config, work) == same
    others = [work.model_copy(update={"seed": 8}), work.model_copy(update={"proxy_sha256": "1" * 64})]
    assert len({same, student_key(larger, work), *(student_key(config, other) for other in others)}) == 4
