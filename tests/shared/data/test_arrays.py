from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.data.arrays import read_arrays, save_arrays
from shared.data.records import Records, Split
from shared.errors import DataError, LabelError, MissingFileError, NotFiniteError
from shared.task import CategoricalColumn, ImageTask, NumericColumn, TabularTask

TABLE = TabularTask(
    family="tabular",
    label="y",
    labels=("no", "yes"),
    columns=(NumericColumn(name="age"), CategoricalColumn(kind="categorical", name="sex", categories=("f", "m"))),
)
IMAGES = ImageTask(family="image", labels=("no", "yes"), size=4, channels=1)


def saved(tmp_path: Path, **arrays: Any) -> Path:
    path = tmp_path / "records.npz"
    np.savez(path, **arrays)
    return path


def test_a_split_comes_back_as_it_was_saved_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (5, 4, 4, 1), dtype=np.uint8)
    split = Split(Records(images[:3], np.array([0, 1, 1])), Records(images[3:], np.array([1, 0])))
    save_arrays(tmp_path / "a" / "records.npz", split)
    found = read_arrays(tmp_path / "a" / "records.npz", IMAGES)
    assert isinstance(found, Split)
    for part, was in ((found.train, split.train), (found.test, split.test)):
        np.testing.assert_array_equal(part.inputs, was.inputs)
        np.testing.assert_array_equal(part.labels, was.labels)
    assert stat.S_IMODE((tmp_path / "a" / "records.npz").stat().st_mode) == 0o600


def test_arrays_without_a_test_part_are_records_in_the_raw_type(tmp_path: Path) -> None:
    found = read_arrays(saved(tmp_path, inputs=np.array([[1, 0], [np.nan, np.nan]]), labels=np.array([1, 0], np.uint8)), TABLE)
    assert isinstance(found, Records)
    assert found.inputs.dtype == np.float32
    assert found.labels.dtype == np.int64


LABELS = np.array([0, 1])


@pytest.mark.parametrize(
    ("task", "inputs", "labels", "error"),
    [
        (TABLE, np.zeros((2, 3)), LABELS, DataError),
        (TABLE, np.zeros((3, 2)), LABELS, DataError),
        (TABLE, np.array([["a", "b"]] * 2), LABELS, DataError),
        (TABLE, np.zeros((2, 2)), np.array([0.0, 1.0]), DataError),
        (TABLE, np.array([[1, 0.5], [1, 0]]), LABELS, DataError),
        (TABLE, np.array([[1, 2], [1, 0]]), LABELS, DataError),
        (TABLE, np.array([[1, -1], [1, 0]]), LABELS, DataError),
        (TABLE, np.array([[np.inf, 0], [1, 0]]), LABELS, NotFiniteError),
        (TABLE, np.array([[1e300, 0], [1, 0]]), LABELS, NotFiniteError),
        (TABLE, np.zeros((2, 2)), np.array([0, 2]), LabelError),
        (TABLE, np.zeros((2, 2)), np.array([0, -1]), LabelError),
        (IMAGES, np.zeros((2, 4, 4, 1), np.float32), LABELS, DataError),
        (IMAGES, np.zeros((2, 4, 4, 3), np.uint8), LABELS, DataError),
        (IMAGES, np.zeros((2, 2), np.uint8), LABELS, DataError),
        (TABLE, np.array([[{}, {}]] * 2, dtype=object), LABELS, DataError),
    ],
)
def test_arrays_that_do_not_fit_the_task_are_refused(tmp_path: Path, task: Any, inputs: Any, labels: Any, error: type[DataError]) -> None:
    with pytest.raises(DataError) as caught:
        read_arrays(saved(tmp_path, inputs=inputs, labels=labels), task)
    assert type(caught.value) is error


def test_a_lone_test_array_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no array 'test_labels'"):
        read_arrays(saved(tmp_path, inputs=np.zeros((2, 2)), labels=LABELS, test_inputs=np.zeros((2, 2))), TABLE)


@pytest.mark.parametrize("keep", [0, 1, 30, 200, -1])
def test_a_file_cut_short_is_damaged(tmp_path: Path, keep: int) -> None:
    path = saved(tmp_path, inputs=np.zeros((2, 2)), labels=LABELS)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="damaged"):
        read_arrays(path, TABLE)


def test_every_flipped_byte_gives_an_error_of_ours_or_the_records(tmp_path: Path) -> None:
    path = saved(tmp_path, inputs=np.zeros((2, 2)), labels=LABELS)
    content = path.read_bytes()
    for position in range(0, len(content), 7):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :])
        try:
            assert len(read_arrays(path, TABLE)) == 2  # type: ignore[arg-type]
        except DataError:
            continue


@pytest.mark.parametrize("content", [b"not an archive", b"\x80\x04N."])
def test_something_else_is_refused_and_never_unpickled(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "records.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        read_arrays(path, TABLE)


def test_a_lone_npy_array_is_not_records(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"plain arrays"):
        read_arrays(tmp_path / "one.npy", TABLE)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"gone.npz"):
        read_arrays(tmp_path / "gone.npz", TABLE)
