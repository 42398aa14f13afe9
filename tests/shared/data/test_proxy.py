"""Proxy records: public ones from every kind of file without a label, and rows that nobody has, the same for all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared.config import RecordsProxy
from shared.data.proxy import generated_proxy, read_proxy
from shared.errors import ConfigError, DataError, MissingFileError
from shared.task import Task
from shared.work import Normalisation
from tests.support.networks import IMAGES, TABLE, TEXTS, inputs, normalisation
from tests.support.texts import text_task, write_tokenizer


def read(path: Path, task: Task, tokenizer: Path | None = None) -> np.ndarray[Any, Any]:
    return read_proxy(RecordsProxy(source="records", path=path), task, tokenizer)


def test_a_table_needs_no_label(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("age,dose,side,kind\n40,1.5,left,b\n,2,right,a\n")
    found = read(tmp_path / "rows.csv", TABLE)
    np.testing.assert_array_equal(found, np.array([[40, 1, 1.5, 0], [np.nan, 0, 2, 1]], np.float32))


def test_texts_need_no_label(tmp_path: Path) -> None:
    tokenizer, task = write_tokenizer(tmp_path), text_task()
    (tmp_path / "texts.csv").write_text("message\nhello there\nanother one\n")
    found = read(tmp_path / "texts.csv", task, tokenizer)
    assert (found.dtype, found.shape) == (np.int32, (2, task.max_tokens))


def test_images_lie_at_any_depth_and_come_in_order_of_their_names(tmp_path: Path) -> None:
    for place, shade in (("b.png", 20), ("a/x.png", 10), ("a/c/y.png", 0)):
        (tmp_path / "images" / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), shade, np.uint8)).save(tmp_path / "images" / place)
    found = read(tmp_path / "images", IMAGES)
    assert (found.dtype, found[:, 0, 0, 0].tolist()) == (np.uint8, [0, 10, 20])


@pytest.mark.parametrize("task", [TABLE, IMAGES, TEXTS])
def test_arrays_need_no_label(tmp_path: Path, task: Task) -> None:
    raw = inputs(task, 6)
    np.savez(tmp_path / "public.npz", inputs=raw)
    np.testing.assert_array_equal(read(tmp_path / "public.npz", task), raw)


def test_what_is_no_proxy_set_is_said(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", records=np.zeros(3))
    np.savez(tmp_path / "empty.npz", inputs=np.zeros((0, 4), np.float32))
    (tmp_path / "images").mkdir()
    (tmp_path / "rows.txt").write_text("")
    for name, task, error, sentence in (
        ("other.npz", TABLE, DataError, "has no array 'inputs'"),
        ("empty.npz", TABLE, DataError, "holds no proxy records"),
        ("images", IMAGES, DataError, "there are no PNG or JPEG images"),
        ("rows.txt", IMAGES, MissingFileError, "is no folder of proxy images"),
        ("rows.txt", TABLE, ConfigError, "give a .csv or a .npz file"),
    ):
        with pytest.raises(error, match=sentence):
            read(tmp_path / name, task)


def test_generated_rows_are_the_same_on_both_sides_and_others_for_another_seed() -> None:
    one, other = (generated_proxy(TABLE, normalisation(TABLE), 50, 0.2, seed=7) for _ in range(2))
    assert one.tobytes() == other.tobytes()
    assert one.tobytes() != generated_proxy(TABLE, normalisation(TABLE), 50, 0.2, seed=8).tobytes()
    assert one[:20].tobytes() == generated_proxy(TABLE, normalisation(TABLE), 20, 0.2, seed=7).tobytes(), "more records keep the first ones"


def test_generated_rows_follow_the_masked_statistics() -> None:
    found = generated_proxy(TABLE, Normalisation(means=(50.0, -2.0), deviations=(10.0, 0.5)), 4000, 0.0, seed=1).astype(np.float64)
    np.testing.assert_allclose(found[:, [0, 2]].mean(axis=0), [50, -2], atol=0.6)
    np.testing.assert_allclose(found[:, [0, 2]].std(axis=0), [10, 0.5], rtol=0.05)
    assert np.unique(found[:, 1]).tolist() == [0, 1, 2]
    assert np.bincount(found[:, 1].astype(int)).min() > 1200
    assert np.unique(found[:, 3]).tolist() == [0, 1]


def test_the_asked_share_of_cells_is_missing_in_every_column() -> None:
    found = generated_proxy(TABLE, normalisation(TABLE), 4000, 0.25, seed=1)
    np.testing.assert_allclose(np.isnan(found).mean(axis=0), 0.25, atol=0.03)
    whole = generated_proxy(TABLE, normalisation(TABLE), 4000, 0.0, seed=1)
    assert not np.isnan(whole).any()
    assert (whole[~np.isnan(found)] == found[~np.isnan(found)]).all()
