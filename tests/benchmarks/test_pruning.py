"""The benchmark of pruning from end to end, short: every figure is there, and nothing is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import harness, pruning


def test_quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    pruning.main(["--quick", "--tasks", "heart", "--json", str(tmp_path / "claims.json")])
    claims = {entry["name"]: entry for entry in json.loads((tmp_path / "claims.json").read_text())["claims"]}
    figures = ("unhealed", "healed", "accuracy", "parameters", "latency")
    assert set(claims) == {f"heart.{variant}.{name}" for variant in ("whole", "pruned_20", "pruned_40") for name in figures}
    sizes = [claims[f"heart.{variant}.parameters"]["value"] for variant in ("whole", "pruned_20", "pruned_40")]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[2] < sizes[0]
    assert claims["heart.pruned_40.parameters"]["baseline"] == sizes[0]
    assert not (tmp_path / "results").exists()
