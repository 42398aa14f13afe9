"""The benchmark of encodings from end to end, short: every figure is there, and nothing is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import encoding, harness
from benchmarks.encoding import VARIANTS


@pytest.fixture(autouse=True)
def _results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")


def test_quick(tmp_path: Path) -> None:
    encoding.main(["--quick", "--tasks", "heart", "retinamnist", "--json", str(tmp_path / "claims.json")])
    claims = {entry["name"]: entry for entry in json.loads((tmp_path / "claims.json").read_text())["claims"]}
    figures = ("accuracy", "loss", "accuracy_difference", "loss_difference", "error", "drift", "up", "up_total", "down")
    expected = {f"{task}.{variant}.{name}" for task in ("heart", "retinamnist") for variant in VARIANTS for name in figures}
    kappas = {f"retinamnist.{variant}.{name}" for variant in VARIANTS for name in ("kappa", "kappa_difference")}
    of_the_reference = {name for name in expected | kappas if ".float32." in name and not name.endswith((".accuracy", ".loss", ".kappa"))}
    assert set(claims) == (expected | kappas) - of_the_reference
    assert {claims[f"heart.{variant}.up"]["value"] for variant in VARIANTS if variant != "float32"} == {1.0, 2.0}
    assert (claims["heart.fedstill.up"]["baseline"], claims["heart.fedstill.up"]["goal"]) == (8.0, 1.0)
    assert claims["heart.fedstill.accuracy_difference"]["goal"] == -0.2
    assert claims["heart.ring16.error"]["value"] < claims["heart.fedstill.error"]["value"] < claims["heart.ring8.error"]["value"]
    assert claims["heart.fedstill.down"]["value"] < claims["heart.ring16.down"]["value"]
    assert not (tmp_path / "results").exists()


def test_a_task_without_its_data_is_left_out_and_said_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("FEDSTILL_BENCH_DATA", raising=False)
    with pytest.raises(SystemExit) as ended:
        encoding.main(["--tasks", "retinamnist"])
    assert ended.value.code == 21
    assert "SKIPPED: set FEDSTILL_BENCH_DATA to a folder that holds retinamnist/" in capsys.readouterr().err


def test_the_reference_and_its_rivals_share_all_but_the_encoding() -> None:
    fixed = {"rotation", "error_feedback", "clip_quantile", "downlink", "width"}
    assert all(set(changed) <= fixed for changed in VARIANTS.values())
    assert VARIANTS["fedstill"] == {}, "what is claimed is the default"
