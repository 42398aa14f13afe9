from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared.data import builtin_task, infer_task
from shared.data.heart import FILE, SITE_COLUMN
from shared.errors import DataError, LabelError, MissingColumnError, MissingFileError
from shared.sources import ArrayData, BuiltinData, CsvData, ImageFolderData
from shared.task import ImageTask, TabularTask


def csv_task(tmp_path: Path, content: str, label: str = "y", **more: Any) -> TabularTask:
    (tmp_path / "records.csv").write_text(content)
    task = infer_task(CsvData(source="csv", path=tmp_path / "records.csv", **more), label)
    assert isinstance(task, TabularTask)
    return task


def test_columns_are_numeric_where_every_value_is_a_number_else_categories(tmp_path: Path) -> None:
    content = "h,age,kind,grade,y\nx,41,b,1,10\nx,?,a,,9\nz,3.5,?,x,10\nz,4,a,2,9\n"
    task = csv_task(tmp_path, content, site_column="h")
    assert [(column.name, column.kind) for column in task.columns] == [
        ("age", "numeric"),
        ("kind", "categorical"),
        ("grade", "categorical"),
    ]
    assert getattr(task.columns[1], "categories", None) == ("a", "b")
    assert task.labels == ("9", "10")


def test_columns_that_cannot_help_are_left_out(tmp_path: Path) -> None:
    rows = "".join(f"{n},{n * n % 7},note {n},,{7 * n % 101},{'yes' if n % 2 else 'no'}\n" for n in range(1, 101))
    task = csv_task(tmp_path, "row,a,note,empty,Patient_ID,y\n" + rows)
    assert [column.name for column in task.columns] == ["a"]
    assert task.labels == ("no", "yes")


def test_the_built_in_heart_file_gives_its_own_task_but_for_the_order_of_categories() -> None:
    task = infer_task(CsvData(source="csv", path=FILE, site_column=SITE_COLUMN), "disease")
    known = builtin_task("heart")
    assert isinstance(task, TabularTask)
    assert isinstance(known, TabularTask)
    assert task.labels == known.labels
    for found, column in zip(task.columns, known.columns, strict=True):
        assert (found.name, found.kind) == (column.name, column.kind)
        assert set(getattr(found, "categories", ())) == set(getattr(column, "categories", ()))


@pytest.mark.parametrize(
    ("content", "label", "error", "sentence"),
    [
        ("a,y\n1,0\n2,1\n", "z", MissingColumnError, "no column 'z'; its columns are: a, y"),
        ("a,y\n1,0\n2,0\n", "y", LabelError, "has 1 different values"),
        ("a,y\n" + "".join(f"1,{n}.5\n" for n in range(9)), "y", LabelError, "choose another column"),
        ("a,y\n1,0\n2,\n3,0\n4,\n", "y", LabelError, "empty in some rows"),
        ("y\n0\n1\n", "y", MissingColumnError, "no column to predict 'y' from"),
        ("a,y\n", "y", LabelError, "0 different values"),
    ],
)
def test_a_table_that_suggests_no_task_is_refused(tmp_path: Path, content: str, label: str, error: type[DataError], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        csv_task(tmp_path, content, label)


def test_a_site_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingColumnError, match="'hospital'"):
        csv_task(tmp_path, "a,y\n1,0\n2,1\n", site_column="hospital")


def draw(path: Path, mode: str, side: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (side, side + 9), 0).save(path)


@pytest.mark.parametrize("site", ["", "north/"])
@pytest.mark.parametrize(("mode", "side", "size", "channels"), [("L", 40, 32, 1), ("RGB", 500, 128, 3), ("L", 5, 8, 1)])
def test_a_folder_of_images_gives_labels_size_and_channels(
    tmp_path: Path, site: str, mode: str, side: int, size: int, channels: int
) -> None:
    for label in ("good", "bad"):
        draw(tmp_path / f"{site}{label}" / "a.png", mode, side)
    task = infer_task(ImageFolderData(source="images", path=tmp_path), "label")
    assert task == ImageTask.model_validate({"family": "image", "labels": ("bad", "good"), "size": size, "channels": channels})


def test_folders_that_suggest_no_task_are_refused(tmp_path: Path) -> None:
    draw(tmp_path / "good" / "a.png", "L", 8)
    with pytest.raises(LabelError, match="has 1 folders"):
        infer_task(ImageFolderData(source="images", path=tmp_path), "label")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "b.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"b.png is damaged"):
        infer_task(ImageFolderData(source="images", path=tmp_path), "label")
    with pytest.raises(MissingFileError):
        infer_task(ImageFolderData(source="images", path=tmp_path / "gone"), "label")


def test_arrays_are_rows_or_images_by_their_shape(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", inputs=np.zeros((4, 2)), labels=np.array([0, 2, 1, 0]))
    np.savez(tmp_path / "images.npz", inputs=np.zeros((2, 8, 8, 3), np.uint8), labels=np.array([0, 1]))
    np.savez(tmp_path / "sound.npz", inputs=np.zeros((2, 8, 8)), labels=np.array([0, 1]))
    np.savez(tmp_path / "none.npz", other=np.zeros(1))
    rows = infer_task(ArrayData(source="arrays", path=tmp_path / "rows.npz"), "y")
    assert rows.labels == ("0", "1", "2")
    assert rows.family == "tabular"
    assert [column.name for column in rows.columns] == ["column-1", "column-2"]
    images = infer_task(ArrayData(source="arrays", path=tmp_path / "images.npz"), "y")
    assert images == ImageTask(family="image", labels=("0", "1"), size=8, channels=3)
    for name in ("sound", "none"):
        with pytest.raises(DataError, match="'inputs'"):
            infer_task(ArrayData(source="arrays", path=tmp_path / f"{name}.npz"), "y")


@pytest.mark.parametrize("name", ["heart", "digits"])
def test_built_in_data_have_their_task(name: str) -> None:
    assert infer_task(BuiltinData.model_validate({"source": name}), "any") == builtin_task(name)
