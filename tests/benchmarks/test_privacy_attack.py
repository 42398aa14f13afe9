"""The attacks from end to end with hardly any effort: every claim is there, and nothing is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import harness, privacy_attack
from benchmarks.privacy_attack import Effort, Scene, inversions
from shared.data.digits import SITES, read_digits


def test_quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    privacy_attack.main(["--quick", "--json", str(tmp_path / "claims.json")])
    claims = {entry["name"]: entry for entry in json.loads((tmp_path / "claims.json").read_text())["claims"]}
    views = ("plain", "masked", "sum", "noised.8")
    assert {f"inversion.1.{view}.{figure}" for view in views for figure in ("correlation", "psnr", "found")} <= set(claims)
    assert {f"membership.{kind}.{view}" for kind in ("1", "training") for view in (*views, "noised.1")} <= set(claims)
    assert claims["membership.1.plain"]["baseline"] == 0.5
    assert 0.5 < claims["inversion.1.plain.correlation"]["baseline"] < 1
    assert not [name for name in claims if "guess" in name]
    assert not (tmp_path / "results").exists()


def test_an_institutions_records_are_its_own_and_none_is_the_attackers() -> None:
    scene = Scene(3, read_digits())
    rows = scene.draw(8, 0)
    assert rows.shape == (SITES, 8)
    assert len(set(rows.reshape(-1).tolist())) == SITES * 8
    assert not set(rows.reshape(-1).tolist()) & set(scene.halves[0].tolist())
    assert scene.draw(8, 1).tolist() != rows.tolist()


def test_equal_seeds_give_equal_figures() -> None:
    effort = Effort(sizes=(1,), steps=2, starts=1, members=1)
    first, second = (inversions(Scene(4, read_digits()), 1, 8.0, effort) for _ in range(2))
    assert first == second
