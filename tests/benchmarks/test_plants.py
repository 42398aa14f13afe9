"""Four plants: how their records are split, and the whole benchmark from end to end on invented images."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import defects, harness
from benchmarks import plants as benchmark
from shared.data.seeds import generator
from shared.heads import heads_of


def test_images_shrink_by_their_means() -> None:
    images = np.arange(2 * 8 * 8, dtype=np.uint8).reshape(2, 8, 8)
    found = defects.shrunk(images, 4)
    assert found.shape == (2, 4, 4)
    assert found[1, 2, 3] == round(images[1, 4:6, 6:8].mean() + 0.01)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30)), min_size=40, max_size=80), st.integers(0, 99))
def test_a_group_is_in_the_test_or_not(pairs: list[tuple[int, int]], seed: int) -> None:
    labels, groups = (np.array(values, np.int64) for values in zip(*pairs, strict=True))
    test = defects.grouped_test(labels, groups, generator(seed, "test"))
    assert not set(groups[test]) & set(groups[~test])
    assert abs(len(set(groups[test])) - len(set(groups)) / 3) <= 3


def test_plants_have_their_own_labels_and_every_seed_other_records() -> None:
    own = heads_of(defects.HEADS)
    assert len(own) == len(defects.TASK.labels) == 23
    first, again, other = (defects.plants(defects.synthetic(), seed) for seed in (0, 0, 1))
    for head, (name, plant) in enumerate(first.items()):
        parts = (plant.site.train, plant.site.test, plant.test)
        assert all((own[part.labels] == head).all() for part in parts)
        assert sum(map(len, parts)) == 36
        assert (plant.test.inputs == again[name].test.inputs).all()
        assert (plant.test.inputs != other[name].test.inputs).any()


def test_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    benchmark.main(["--quick", "--json", str(tmp_path / "claims.json")])
    claims = {entry["name"]: entry for entry in json.loads((tmp_path / "claims.json").read_text())["claims"]}
    for model in ("teacher", "single", "one", "one_int8"):
        assert all(0 <= claims[f"{model}.{plant}"]["value"] <= 1 for plant in (*defects.SOURCES, "mean"))
    assert claims["one.steel"]["baseline"] == claims["single.steel"]["value"]
    assert claims["parameters.single_all"]["value"] == 4 * claims["parameters.one"]["value"]
    assert not (tmp_path / "results").exists()


def test_without_the_data_it_ends_loudly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("FEDSTILL_BENCH_DATA", raising=False)
    with pytest.raises(SystemExit) as ended:
        benchmark.main([])
    assert ended.value.code == 21
    assert "SKIPPED: set FEDSTILL_BENCH_DATA to a folder that holds neu_det/" in capsys.readouterr().err


@pytest.mark.bench
def test_the_public_sets_are_as_they_are_described() -> None:
    if "FEDSTILL_BENCH_DATA" not in os.environ:
        pytest.skip("SKIPPED: FEDSTILL_BENCH_DATA is not set, so the four plants' public sets are not looked at")
    found = defects.read(Path(os.environ["FEDSTILL_BENCH_DATA"]))
    assert {name: len(one.labels) for name, one in found.items()} == {"steel": 1800, "boards": 10013, "tiles": 392, "cells": 1116}
    assert {name: len(np.unique(one.labels)) for name, one in found.items()} == {"steel": 6, "boards": 6, "tiles": 5, "cells": 6}
    for plant in defects.plants(found, 0).values():
        assert set(plant.test.labels) == set(plant.site.train.labels)
