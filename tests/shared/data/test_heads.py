"""A site may have only some of the task's labels: those of its own head, in any kind of source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.config import InstitutionConfig
from shared.data import Split, load_site, save_arrays
from shared.sources import ArrayData, CsvData, DataSource, ImageFolderData
from shared.task import Task
from tests.support.heads import PICTURES, TABLES, records


def arrays(folder: Path) -> DataSource:
    save_arrays(folder / "site.npz", Split(records(PICTURES, 1), records(PICTURES, 1, count=20, seed=2)))
    return ArrayData(source="arrays", path=folder / "site.npz")


def images(folder: Path) -> DataSource:
    for label in "xy":
        (folder / label).mkdir()
        for number in range(6):
            Image.fromarray(np.full((8, 8), 40 * number, np.uint8)).save(folder / label / f"{number}.png")
    return ImageFolderData(source="images", path=folder)


def rows(folder: Path) -> DataSource:
    lines = [f"{30 + number},a,2.0,left,{'xy'[number % 2]}" for number in range(12)]
    (folder / "rows.csv").write_text("\n".join(["age,kind,dose,side,y", *lines]))
    return CsvData(source="csv", path=folder / "rows.csv")


@pytest.mark.parametrize(("task", "source"), [(PICTURES, arrays), (PICTURES, images), (TABLES, rows)])
def test_a_site_of_one_head_is_read(tmp_path: Path, task: Task, source: object) -> None:
    assert callable(source)
    split = load_site(InstitutionConfig(name="plant", task=task, data=source(tmp_path)))
    for part in (split.train, split.test):
        assert set(part.labels.tolist()) == {3, 4}
