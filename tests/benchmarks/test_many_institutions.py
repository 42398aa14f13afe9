"""The benchmark's runs are real ones: every institution is a process that answers, and the sum closes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.many_institutions import Measured, claims
from benchmarks.many_institutions import main as run_benchmark
from benchmarks.many_institutions_plots import draw


def measured(institutions: int) -> Measured:
    stages = {"train": [1.0, 3.0], "unmask": [0.5, 0.5]}
    return Measured(institutions, 2e8, 1e8, [0.5, 1.5], [2.0, 4.0], stages, 9e7, 10.0, 1e6, 3.0)


def test_three_institutions_close_a_round_as_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "claims.json"
    run_benchmark(
        ["--institutions", "3", "--rounds", "1", "--parameters", "500", "--folder", str(tmp_path), "--no-keep", "--json", str(kept)]
    )
    said = kept.read_text()
    assert '"3.coordinator.memory"' in said
    assert '"3.stage.unmask"' in said
    assert list(tmp_path.glob("tmp*")) == []


def test_claims_are_medians_over_rounds() -> None:
    found = {one.name: one for one in claims(measured(5), rounds=2)}
    assert (found["5.round"].value, found["5.round"].spread) == (3.0, 2.0)
    assert found["5.coordinator.cpu"].value == 1.0
    assert found["5.coordinator.memory_of_the_run"].value == 100
    assert found["5.institution.cpu"].value == 1.0


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    draw([measured(5), measured(10)], tmp_path)
    assert (tmp_path / "many_institutions.png").read_bytes().startswith(b"\x89PNG")
