"""The benchmark from end to end on one small student: every way has its figures, and nothing is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import edge_qat, harness


def test_every_way_has_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    edge_qat.main(["--quick", "--subjects", "heart_perceptron", "--json", str(tmp_path / "claims.json")])
    found = {entry["name"]: entry for entry in json.loads((tmp_path / "claims.json").read_text())["claims"]}
    reference = found["heart_perceptron.float.accuracy"]["value"]
    assert reference > 0.6
    for way in ("after", "learned", "agreed"):
        figures = {name: found[f"heart_perceptron.{way}.{name}"]["value"] for name in ("accuracy", "agreement", "behind")}
        assert figures["behind"] == pytest.approx(100 * (reference - figures["accuracy"]))
        assert figures["agreement"] > 0.95
    assert not (tmp_path / "results").exists()
