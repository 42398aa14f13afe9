"""Claims are medians with their spread, and are kept where a reader finds them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import harness


def test_a_claim_is_the_median_and_its_spread() -> None:
    entry = harness.claim("accuracy", [0.7, 0.9, 0.8], "fraction", baseline=0.75)
    assert (entry.value, entry.seeds) == (0.8, 3)
    assert entry.spread == pytest.approx(0.2)


def test_nothing_measured_is_no_claim() -> None:
    with pytest.raises(ValueError, match="no measurement for accuracy"):
        harness.claim("accuracy", [], "fraction")


def test_missing_data_is_said_loudly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("FEDSTILL_BENCH_DATA", raising=False)
    with pytest.raises(SystemExit) as caught:
        harness.bench_data("heart_raw")
    assert caught.value.code == 21
    assert "SKIPPED" in capsys.readouterr().err


def test_claims_go_to_json_and_to_the_results_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(sys, "argv", ["trial", "--json", str(tmp_path / "x.json")])
    options = harness.parser("trial", seeds=2).parse_args(["--json", str(tmp_path / "claims.json")])
    claims = [harness.claim("speed_client_speedup", [2.0], "ratio", goal=10)]
    harness.report("trial", claims, options)
    harness.report("trial", claims, options)
    written = json.loads((tmp_path / "claims.json").read_text())
    assert written["machine"]
    assert written["claims"][0]["name"] == "speed_client_speedup"
    page = (tmp_path / "results" / "trial.md").read_text()
    assert page.count("| speed_client_speedup | 2 | ratio | 1 | 0 |  | 10 |") == 2
    assert str(tmp_path) not in page
