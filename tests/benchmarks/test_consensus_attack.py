"""The attack on answers finds members where there is something to find, asks about everybody's records, and keeps nothing when quick."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import consensus_attack, harness
from benchmarks.consensus_attack import Logits, Overheard, Scene, _looking_up
from shared.data import Records
from shared.data.digits import SITES


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene.of(3, 1, 0)


def test_quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    consensus_attack.main(["--quick", "--json", str(tmp_path / "claims.json")])
    claims = {entry["name"]: entry for entry in json.loads((tmp_path / "claims.json").read_text())["claims"]}
    views = ("weights.plain", "weights.sum", "answers.student", "asked.plain", "asked.sum", "asked.student")
    assert set(claims) == {f"{view}.{figure}" for view in views for figure in ("loss", "calibrated", "accuracy")} | {"nobody.loss"}
    assert claims["asked.sum.calibrated"]["baseline"] == 0.5
    assert all(0 <= entry["value"] <= 1 for entry in claims.values())
    assert not (tmp_path / "results").exists()


def test_nobodys_records_are_the_attackers_and_none_is_both_member_and_other(scene: Scene) -> None:
    parts = [scene.known, *(part for split in scene.sites.values() for part in (split.train, split.test))]
    assert len(scene.sites) == SITES
    assert sum(map(len, parts)) == 1797
    # Of equal images there are none among the digits, so each has one place.
    assert len({image.tobytes() for part in parts for image in part.inputs}) == 1797


def test_who_memorises_is_found_and_who_cannot_tell_is_not(scene: Scene) -> None:
    members = {image.tobytes() for split in scene.sites.values() for image in split.train.inputs}

    def memorising(records: Records) -> Logits:
        sure = [image.tobytes() in members for image in records.inputs]
        return np.eye(10)[records.labels] * np.where(sure, 9.0, 3.0)[:, None]

    blind = Scene(scene.config, scene.known, scene.sites, ())
    vars(blind)["usual"] = {site: np.zeros(len(split.train) + len(split.test)) for site, split in scene.sites.items()}
    found = blind.figures("view", dict.fromkeys(scene.sites, memorising))
    assert found == {"view.loss": 1.0, "view.calibrated": 1.0, "view.accuracy": 1.0}
    coin = blind.figures("view", dict.fromkeys(scene.sites, lambda records: np.zeros((len(records), 10))))
    assert (coin["view.loss"], blind.chance()) == (0.5, 0.5)


def test_answers_are_looked_up_by_the_record_in_any_order(scene: Scene) -> None:
    about = scene.known
    table = np.arange(10.0 * len(about)).reshape(-1, 10)
    rows = np.array([7, 0, 3])
    np.testing.assert_array_equal(_looking_up(about, table)(about.take(rows)), table[rows])


def test_what_is_overheard_is_what_goes_down_and_what_comes_up() -> None:
    heard = Overheard(before=np.array([1.0, 2.0], np.float32), updates={"a": np.array([0.5, 0.0], np.float32)}, mean=np.array([0.0, -1.0]))
    views = heard.views()
    assert {name: vector.tolist() for name, vector in views.items()} == {"a": [1.5, 2.0], "sum": [1.0, 1.0]}
