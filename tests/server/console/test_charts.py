from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.console.charts import MOST_LINES, MOST_POINTS, charts_of, thinned
from server.records import RoundRecord


def record(number: int, **changed: object) -> RoundRecord:
    return RoundRecord.model_validate({"number": number, "phase": "train", "status": "closed", **changed})


def test_what_is_plotted_of_closed_rounds() -> None:
    records = [
        record(1, seconds={"train": 2.0}, bytes_up={"ash": 1000, "elm": 500}, bytes_down={"ash": 3000}),
        record(2, metrics={"accuracy": 0.5, "loss": 0.7, "train_loss": 0.6, "records": 9.0}, seconds={"train": 1.0, "unmask": 0.5}),
        record(3, status="void", metrics={"accuracy": 0.9}),
        record(4, status="open"),
    ]
    charts = {chart.title: {line.name: line.points for line in chart.lines} for chart in charts_of(records)}
    assert charts["Accuracy on held-out records"] == {"accuracy": ((2.0, 50.0),)}
    assert charts["Loss"] == {"loss": ((2.0, 0.7),), "train_loss": ((2.0, 0.6),)}
    assert charts["Seconds of waiting, by stage"] == {"train": ((1.0, 2.0), (2.0, 1.0)), "unmask": ((2.0, 0.5),)}
    assert charts["Kilobytes of all institutions"] == {"up": ((1.0, 1.5), (2.0, 0.0)), "down": ((1.0, 3.0), (2.0, 0.0))}


def test_without_a_round_there_is_nothing_to_plot() -> None:
    assert charts_of([]) == ()
    assert charts_of([record(1, status="open")]) == ()


def test_lines_are_bounded() -> None:
    many = record(1, metrics={f"accuracy.head-{number}": 0.5 for number in range(40)})
    accuracy = next(chart for chart in charts_of([many]) if chart.unit == "%")
    assert len(accuracy.lines) == MOST_LINES


@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats(-1e3, 1e3)), max_size=1000), st.integers(1, 60))
def test_thinning_keeps_the_mean_and_the_bound(points: list[tuple[float, float]], most: int) -> None:
    kept = thinned(points, most)
    assert len(kept) <= most
    if len(points) <= most:
        assert list(kept) == points
    elif len(points) % len(kept) == 0:
        assert sum(y for _, y in kept) / len(kept) == pytest.approx(sum(y for _, y in points) / len(points), abs=1e-6)
    assert most < MOST_POINTS
