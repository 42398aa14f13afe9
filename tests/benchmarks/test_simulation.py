"""The benchmark's claims are medians of what the runs reported."""

from __future__ import annotations

from benchmarks.simulation import claims
from fedstill.report import ModelFigures, Summary
from fedstill.report.summary import RoundCounts


def summary(overall: float, seconds: float) -> Summary:
    models = {name: ModelFigures(accuracy={"a": overall}, overall=overall, mean=overall, bytes=100) for name in ("fedstill", "int8")}
    models["federated"] = ModelFigures(accuracy={"a": 0.5}, overall=0.5, mean=0.5)
    return Summary(
        name="heart",
        run="heart-1",
        run_dir="d",
        artifact="a",
        institutions=1,
        records={"a": (2, 1)},
        labels=("x", "y"),
        seconds=seconds,
        seconds_by_part={},
        peak_memory_mb=10.0,
        rounds=RoundCounts(planned=1, closed=1, void=0),
        history=(),
        metrics=models,
        agreement=1.0,
        bytes_up_per_round={},
        bytes_up_per_parameter=2.0,
        bytes_down_per_parameter=0.8,
        machine="m",
        seed=1,
    )


def test_claims_are_medians_with_the_gain_of_teachers_run_by_run() -> None:
    found = {entry.name: entry for entry in claims("heart", [summary(0.7, 20), summary(0.9, 30), summary(0.8, 25)])}
    assert found["heart.seconds"].value == 25
    assert found["heart.seconds"].goal == 60
    assert found["heart.fedstill"].value == 0.8
    assert round(found["heart.gain_of_teachers"].value, 6) == 0.3
    assert found["heart.artifact"].value == 100
    assert (found["heart.uplink"].value, found["heart.downlink"].value) == (2.0, 0.8)
