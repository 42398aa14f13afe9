from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared.config import FederationConfig, InstitutionConfig
from shared.data import Records, Split, builtin_task, load_pool, load_site, load_sites, save_arrays
from shared.errors import ConfigError, DataError, EmptyInstitutionError, FedstillError

NETWORK = {"width": 8, "depth": 1}
IMAGES = {"family": "image", "labels": ("bad", "good"), "size": 8, "channels": 1}
TABLE = {"family": "tabular", "label": "y", "labels": ("0", "1"), "columns": ({"name": "a"},)}


def federation(task: Any, **more: Any) -> FederationConfig:
    return FederationConfig.model_validate({"name": "test", "task": task, "teacher": NETWORK, "student": NETWORK, **more})


def institution(task: Any, **more: Any) -> InstitutionConfig:
    return InstitutionConfig.model_validate({"name": "site-1", "task": task, "student": NETWORK, **more})


def assert_same(one: Split, other: Split) -> None:
    for a, b in ((one.train, other.train), (one.test, other.test)):
        np.testing.assert_array_equal(a.inputs, b.inputs)
        np.testing.assert_array_equal(a.labels, b.labels)


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    lines = [f"{'North' if i % 3 else 'South'},{i},{i % 2}" for i in range(60)]
    (tmp_path / "records.csv").write_text("\n".join(["h,a,y", *lines]) + "\n")
    return tmp_path / "records.csv"


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    for number in range(24):
        folder = tmp_path / "images" / ("north", "south")[number % 2] / ("bad", "good")[number // 2 % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), number).save(folder / f"{number}.png")
    return tmp_path / "images"


def arrays(path: Path, count: int = 12, *, test: bool = True) -> Path:
    rows = np.arange(count, dtype=np.float32)[:, None]
    records = Records(rows, (np.arange(count) % 2).astype(np.int64))
    if test:
        save_arrays(path, Split(records.take(np.arange(count - 3)), records.take(np.arange(count - 3, count))))
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, inputs=records.inputs, labels=records.labels)
    return path


@pytest.mark.parametrize(("name", "sites"), [("heart", 4), ("digits", 5)])
def test_an_institution_loads_of_built_in_data_what_the_simulation_gives_it(name: str, sites: int) -> None:
    task, data = builtin_task(name), {"source": name}
    splits = load_sites(federation(task, data=data))
    assert len(splits) == sites
    first = sorted(splits)[0]
    assert_same(load_site(institution(task, data=data, name=first)), splits[first])


def test_another_seed_deals_the_digits_otherwise() -> None:
    one, other = (load_sites(federation(builtin_task("digits"), data={"source": "digits"}, seed=seed)) for seed in (1, 2))
    assert {name: len(split.train) for name, split in one.items()} != {name: len(split.train) for name, split in other.items()}
    assert sum(len(split.train) + len(split.test) for split in one.values()) == 1797


def test_built_in_data_are_dealt_to_as_many_sites_as_asked() -> None:
    splits = load_sites(federation(builtin_task("heart"), data={"source": "heart"}, split={"sites": 11}))
    assert list(splits) == [f"site-{number:02d}" for number in range(1, 12)]
    assert sum(len(split.train) + len(split.test) for split in splits.values()) == 920


def test_a_csv_file_is_taken_apart_by_its_site_column(csv_file: Path) -> None:
    data = {"source": "csv", "path": csv_file, "site_column": "h"}
    splits = load_sites(federation(TABLE, data=data, split={"test_fraction": 0.25}))
    assert {name: (len(split.train), len(split.test)) for name, split in splits.items()} == {"north": (30, 10), "south": (15, 5)}
    assert_same(load_site(institution(TABLE, data=data, name="south", split={"test_fraction": 0.25})), splits["south"])


def test_a_csv_file_is_dealt_or_is_one_institutions(csv_file: Path) -> None:
    data = {"source": "csv", "path": csv_file}
    assert len(load_sites(federation(TABLE, data=data, split={"sites": 3}))) == 3
    split = load_site(institution(TABLE, data=data))
    assert len(split.train) + len(split.test) == 60


def test_images_of_sites_of_one_pool_and_of_one_institution(image_folder: Path) -> None:
    splits = load_sites(federation(IMAGES, data={"source": "images", "path": image_folder}))
    assert list(splits) == ["north", "south"]
    own = {"source": "images", "path": image_folder / "south"}
    assert_same(load_site(institution(IMAGES, data=own, name="south")), splits["south"])
    dealt = federation(IMAGES, data=own, split={"sites": 2})
    assert_same(load_site(institution(IMAGES, data=own, split={"sites": 2})), load_sites(dealt)["site-1"])


def test_arrays_keep_their_own_test_part_or_have_one_held_out(tmp_path: Path) -> None:
    own = load_site(institution(TABLE, data={"source": "arrays", "path": arrays(tmp_path / "a.npz")}))
    assert own.test.inputs[:, 0].tolist() == [9, 10, 11]
    pool = {"source": "arrays", "path": arrays(tmp_path / "b.npz", test=False)}
    assert len(load_site(institution(TABLE, data=pool)).test) == 4
    splits = load_sites(federation(TABLE, data=pool, split={"sites": 2}))
    assert sum(len(split.train) + len(split.test) for split in splits.values()) == 12


def test_a_folder_of_arrays_has_one_file_for_each_site(tmp_path: Path) -> None:
    arrays(tmp_path / "sites" / "North.npz")
    arrays(tmp_path / "sites" / "South.npz", 20, test=False)
    data = {"source": "arrays", "path": tmp_path / "sites"}
    splits = load_sites(federation(TABLE, data=data))
    assert {name: len(split.train) for name, split in splits.items()} == {"north": 9, "south": 13}
    assert_same(load_site(institution(TABLE, data=data, name="south")), splits["south"])
    arrays(tmp_path / "sites" / "north.npz")
    with pytest.raises(DataError, match="no name of its own"):
        load_sites(federation(TABLE, data=data))


@pytest.mark.parametrize(
    ("task", "data", "split", "sentence"),
    [
        (TABLE, {"source": "csv"}, {}, r"split.sites or data.site_column"),
        (TABLE, {"source": "csv", "site_column": "h"}, {"sites": 2}, "keep one"),
        (TABLE, {"source": "csv", "site_column": "y"}, {}, "no error"),
        (IMAGES, {"source": "csv", "site_column": "h"}, {}, "the task is for images"),
        (TABLE, {"source": "images"}, {}, "the task is for table rows"),
        (IMAGES, {"source": "heart"}, {}, "the task is for images"),
        (TABLE, {"source": "digits"}, {}, "the task is for table rows"),
        (IMAGES, {"source": "digits"}, {}, "labels 0 to 9"),
        ({**IMAGES, "size": 16}, {"source": "digits"}, {}, r"must be uint8 of shape \(n, 16, 16, 1\)"),
        (TABLE, None, {}, "no \\[data\\]"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(task: Any, data: Any, split: Any, sentence: str, csv_file: Path) -> None:
    if data is not None and data["source"] in ("csv", "images"):
        data = {**data, "path": csv_file}
    config = federation(task, split=split, **({} if data is None else {"data": data}))
    if sentence == "no error":
        assert list(load_sites(config)) == ["0", "1"]
        return
    with pytest.raises(FedstillError, match=sentence):
        load_sites(config)


def test_one_site_is_no_federation(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("h,a,y\nx,1,0\nx,2,1\n")
    with pytest.raises(ConfigError, match=r"one site only \(x\)"):
        load_sites(federation(TABLE, data={"source": "csv", "path": tmp_path / "one.csv", "site_column": "h"}))


def test_an_institution_that_the_data_do_not_know_is_told_the_sites(csv_file: Path) -> None:
    with pytest.raises(EmptyInstitutionError, match="no records of 'site-1'; its sites are: north, south"):
        load_site(institution(TABLE, data={"source": "csv", "path": csv_file, "site_column": "h"}))


def test_an_institution_without_records_is_named(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("a,y\n")
    with pytest.raises(EmptyInstitutionError, match="'site-1' has 0 usable records"):
        load_site(institution(TABLE, data={"source": "csv", "path": tmp_path / "one.csv"}))
    nothing = Records(np.zeros((0, 1), np.float32), np.zeros(0, np.int64))
    save_arrays(tmp_path / "none.npz", Split(nothing, nothing))
    with pytest.raises(EmptyInstitutionError, match="'site-1'"):
        load_site(institution(TABLE, data={"source": "arrays", "path": tmp_path / "none.npz"}))


def test_there_is_no_other_built_in_data() -> None:
    with pytest.raises(ConfigError, match="'iris'; there are heart and digits"):
        builtin_task("iris")


def test_records_are_read_without_torch() -> None:
    code = "import sys, shared.data, shared.data.statistics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0


def test_a_pool_is_the_sites_together(csv_file: Path) -> None:
    sited = {"source": "csv", "path": csv_file, "site_column": "h"}
    splits = load_sites(federation(TABLE, data=sited))
    whole = load_pool(federation(TABLE, data=sited))
    assert len(whole.train) == sum(len(split.train) for split in splits.values())
    np.testing.assert_array_equal(whole.test.inputs, np.concatenate([split.test.inputs for split in splits.values()]))
    alone = load_pool(federation(TABLE, data={"source": "csv", "path": csv_file}))
    assert len(alone.train) + len(alone.test) == 60
    with pytest.raises(ConfigError, match=r"\[data\]"):
        load_pool(federation(TABLE))


def test_a_pool_of_images_may_tell_sites_apart_or_not(image_folder: Path) -> None:
    sited = load_pool(federation(IMAGES, data={"source": "images", "path": image_folder}))
    parts = load_sites(federation(IMAGES, data={"source": "images", "path": image_folder})).values()
    assert len(sited.train) == sum(len(part.train) for part in parts)
    own = load_pool(federation(IMAGES, data={"source": "images", "path": image_folder / "south"}))
    whole = load_site(institution(IMAGES, data={"source": "images", "path": image_folder / "south"}))
    assert len(own.train) + len(own.test) == len(whole.train) + len(whole.test)
