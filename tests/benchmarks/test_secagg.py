"""The benchmark from end to end on small updates, and the arithmetic of its claims on invented figures."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks import harness, secagg, secagg_plots
from benchmarks.consortium import Case, Measured, measure, retained_bytes
from benchmarks.secagg_figures import COLLECTING, Comparison, Limits, compared, grown
from benchmarks.stopwatch import Spent, Stopwatch
from shared.secagg.coordinator import CoordinatorRound
from shared.secagg.messages import Aggregate


def claims_of(path: Path) -> dict[str, dict[str, float]]:
    return {entry["name"]: entry for entry in json.loads(path.read_text())["claims"]}


def test_both_protocols_are_measured_and_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    secagg.main(["--quick", "--json", str(tmp_path / "claims.json")])
    claims = claims_of(tmp_path / "claims.json")
    goals = {"client_speedup": 10, "server_speedup": 20, "client_over_keystream": 2}
    for ending, goal in goals.items():
        found = [entry for name, entry in claims.items() if name.endswith(ending)]
        assert found
        assert all(entry["goal"] == goal and entry["value"] > 0 for entry in found)
    assert {"20k_5_w8_client_cpu", "20k_5_0lost_w8_server_cpu", "20k_5_1lost_w16_server_wall"} <= set(claims)
    assert claims["20k_5_w8_client_bytes_up"]["value"] < 1.2
    assert claims["20k_5_w8_client_bytes_up"]["baseline"] > 8
    assert {"cohort_6_institution_masking_cpu", "cohort_12_coordinator_held_memory", "cohort_institution_bytes_up_growth"} <= set(claims)
    assert not (tmp_path / "results").exists()


def invented(seconds: float, members: int = 5) -> Measured:
    whole = ("keys", "client", "agree", "unmask", "unmask_stage", "setup", "share_keys")
    stages = {name: [Spent(seconds, seconds / 2, 3e6)] for name in whole}
    stages |= {name: [Spent(seconds / 2, seconds / 4, 1.5e6)] for name in ("finish", "mean")}
    stages |= {name: [Spent(0.25, 0.25, 0.0)] * members for name in COLLECTING}
    return Measured(stages, bytes_up=1100 * members, coordinator_bytes=10**6 * members)


def comparison(lost: int) -> Comparison:
    repeats = [invented(1.0), invented(2.0), invented(4.0)]
    limits = Limits(client=[0.5, 0.5, 0.5], server=[0.25, 0.25, 0.25], masks=[0.6, 0.7, 0.8])
    return Comparison(Case(1000, 5, lost), repeats, [invented(20.0), invented(60.0), invented(40.0)], repeats, limits)


def test_claims_are_medians_over_repeats_with_flowers_beside_them() -> None:
    claims = {entry.name: entry for entry in compared(comparison(1), client=True)}
    assert (claims["1k_5_w8_client_cpu"].value, claims["1k_5_w8_client_cpu"].baseline) == (2.0, 40.0)
    assert (claims["1k_5_w8_client_wall"].value, claims["1k_5_w8_client_wall"].baseline) == (1.0, 20.0)
    assert (claims["1k_5_w8_client_speedup"].value, claims["1k_5_w8_client_speedup"].spread) == (20.0, 20.0)
    assert claims["1k_5_w8_client_over_keystream"].value == 4.0
    assert claims["1k_5_w8_client_masks_over_keystream"].value == pytest.approx(1.4)
    assert claims["1k_5_w8_client_keys_cpu"].baseline == 80.0
    assert claims["1k_5_w8_client_bytes_up"].value == 5.5
    assert (claims["1k_5_1lost_w8_server_cpu"].value, claims["1k_5_1lost_w8_server_finish_cpu"].value) == (2.0, 1.0)
    assert (claims["1k_5_1lost_w8_server_peak_memory"].value, claims["1k_5_1lost_w8_server_peak_memory"].baseline) == (3.0, 3.0)
    assert claims["1k_5_1lost_w8_server_over_keystream"].value == 8.0
    assert claims["1k_5_1lost_w8_server_over_keystream"].goal is None
    assert all("client" not in entry.name for entry in compared(comparison(1), client=False))


def test_growth_is_the_power_of_the_cohort_that_a_figure_follows() -> None:
    claims = {entry.name: entry.value for entry in grown({10: [invented(1.0, 10)], 1000: [invented(10.0, 1000)]})}
    assert claims["cohort_institution_masking_cpu_growth"] == pytest.approx(0.5)
    assert claims["cohort_coordinator_collecting_cpu_growth"] == pytest.approx(1.0)
    assert claims["cohort_coordinator_held_memory_growth"] == pytest.approx(1.0)
    assert claims["cohort_institution_peak_memory_growth"] == 0
    assert claims["cohort_1000_coordinator_collecting_cpu"] == 1000.0
    assert not any("growth" in entry.name for entry in grown({10: [invented(1.0)]}))


def test_what_the_system_does_not_tell_is_no_claim() -> None:
    blind = comparison(0)
    blind.ours[0] = Measured({name: [Spent(one[0].cpu, one[0].wall)] for name, one in blind.ours[0].stages.items()}, 1100)
    assert not any("client_peak" in entry.name for entry in compared(blind, client=True))
    assert not any("institution_peak" in entry.name for entry in grown({5: blind.ours}))


def test_a_wrong_sum_stops_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    finish = CoordinatorRound.finish

    def spoiled(self: CoordinatorRound) -> Aggregate:
        aggregate = finish(self)
        aggregate.update[3] += 1
        return aggregate

    monkeypatch.setattr(CoordinatorRound, "finish", spoiled)
    with pytest.raises(ValueError, match="not the plain sum"):
        measure(Case(100, 4, 1), 0, 1)


def test_the_absent_are_as_many_as_are_lost_and_spread() -> None:
    assert Case(1, 50, 5).absent == {0, 10, 20, 30, 40}
    assert Case(1, 5, 0).absent == set()
    assert all(len(Case(1, 50, lost).absent) == lost for lost in range(51))


def test_a_stopwatch_keeps_calls_by_stage_and_sees_memory() -> None:
    watch = Stopwatch()
    assert [watch.run("ones", lambda: np.ones(4 * 2**20).sum()) for _ in range(2)] == [4 * 2**20] * 2
    peaks = [one.peak for one in watch.stages["ones"]]
    assert all(math.isnan(peak) or peak > 16 * 2**20 for peak in peaks)
    assert all(one.cpu >= 0 and one.wall >= 0 for one in watch.stages["ones"])


def test_retained_bytes_count_everything_reached_once() -> None:
    class Holder:
        def __init__(self) -> None:
            self.vector = np.zeros(1000, np.uint16)
            self.shares = {"a": bytes(5000), "b": bytes(5000)}
            self.again = [self.vector, self]

    held = retained_bytes(Holder())
    assert 12_000 < held < 14_000


def test_plots_are_drawn_for_what_was_measured(tmp_path: Path) -> None:
    secagg_plots.draw([comparison(0), comparison(1)], {}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["secagg_times.png"]
    secagg_plots.draw([], {10: [invented(1.0, 10)], 100: [invented(2.0, 100)]}, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secagg_cohort.png", "secagg_times.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())
