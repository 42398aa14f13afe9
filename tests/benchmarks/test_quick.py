"""Both benchmarks from end to end on invented records: every claim is there, and nothing is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import flamby_heart, harness, retinopathy


def claims_of(path: Path) -> dict[str, dict[str, float]]:
    return {entry["name"]: entry for entry in json.loads(path.read_text())["claims"]}


def test_heart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    flamby_heart.main(["--quick", "--json", str(tmp_path / "claims.json")])
    claims = claims_of(tmp_path / "claims.json")
    assert (claims["fedstill.shared.mean"]["baseline"], claims["fedstill.shared.mean"]["goal"]) == (0.731, 0.735)
    assert {
        "logistic_fedavg.centre.mean",
        "logistic_pooled.centre.mean",
        "fedstill.centre.va",
        "fedstill_without_teachers.shared.mean",
    } <= set(claims)
    assert all(0 <= entry["value"] <= 1 for entry in claims.values())
    assert not (tmp_path / "results").exists()


def test_retinopathy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    retinopathy.main(["--quick", "--json", str(tmp_path / "claims.json")])
    claims = claims_of(tmp_path / "claims.json")
    ratio = claims["retinamnist.fedstill_to_central"]
    assert (round(ratio["baseline"], 3), ratio["goal"]) == (0.978, 0.99)
    assert ratio["value"] == pytest.approx(claims["retinamnist.fedstill"]["value"] / claims["retinamnist.central"]["value"])
    assert claims["retinamnist.int8_agreement"]["value"] > 0.8
    assert not (tmp_path / "results").exists()
