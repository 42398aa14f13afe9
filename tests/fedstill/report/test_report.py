"""The report shows what the summary holds, and a hostile name stays text."""

from __future__ import annotations

import io
import json
from pathlib import Path

from rich.console import Console

from fedstill.report import ModelFigures, RoundFigures, Summary, print_summary, write_report
from fedstill.report.summary import RoundCounts

SUMMARY = Summary(
    name="trial",
    run="trial-1",
    run_dir="/runs/trial",
    artifact="/runs/trial/artifact",
    institutions=2,
    records={"north": (10, 5), "south<script>": (20, 10)},
    labels=("no", "yes"),
    seconds=12.5,
    seconds_by_part={"teachers": 4.0, "federation": 8.5},
    peak_memory_mb=512.0,
    rounds=RoundCounts(planned=3, closed=2, void=1),
    history=(
        RoundFigures(number=1, phase="train", status="closed", survivors=("north", "south<script>"), accuracy=0.5, bytes_up={"north": 100}),
        RoundFigures(number=2, phase="train", status="void", absent=("north",), reason="too few survivors"),
        RoundFigures(number=3, phase="train", status="closed", survivors=("north", "south<script>"), accuracy=0.75),
    ),
    metrics={
        "teacher": ModelFigures(accuracy={"north": 0.8, "south<script>": 0.9}, overall=0.87, mean=0.85, parameters=10_000, bytes=40_000),
        "fedstill": ModelFigures(accuracy={"north": 0.8, "south<script>": 0.8}, overall=0.8, mean=0.8, parameters=900, latency_ms=0.25),
        "int8": ModelFigures(accuracy={"north": 0.8, "south<script>": 0.8}, overall=0.8, mean=0.8, parameters=900, bytes=1200),
    },
    agreement=0.9967,
    bytes_up_per_round={"north": 2100.0},
    bytes_up_per_parameter=2.33,
    bytes_down_per_parameter=0.83,
    machine="a machine",
    seed=1,
    objective={"1 labels": ("north", "south<script>")},
    notes=("north vanished in round 2",),
)


def test_page_plots_and_json_are_written_and_agree(tmp_path: Path) -> None:
    page = write_report(SUMMARY, tmp_path).read_text()
    assert "1 void" in page
    assert "too few survivors" in page
    assert "objective: 1 labels" in page
    assert "north vanished in round 2" in page
    assert "south&lt;script&gt;" in page
    assert "<script>" not in page
    assert Summary.model_validate_json((tmp_path / "summary.json").read_bytes()) == SUMMARY
    plots = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert plots == ["bytes.png", "institutions.png", "rounds.png", "time.png"]
    assert all(f"plots/{name}" in page for name in plots)
    assert all((tmp_path / "plots" / name).read_bytes().startswith(b"\x89PNG") for name in plots)


def test_the_terminal_table_has_a_row_a_model() -> None:
    console = Console(record=True, width=160, file=io.StringIO())
    print_summary(SUMMARY, console)
    text = console.export_text()
    assert "fedstill INT8" in text
    assert "2 of 3 training rounds closed, 1 void" in text
    assert "99.67%" in text


def test_the_summary_is_one_json_object() -> None:
    assert {"run_dir", "artifact", "seconds", "metrics"} <= set(json.loads(SUMMARY.model_dump_json()))


def test_a_report_of_answers_says_whose_accuracy_a_round_s_is(tmp_path: Path) -> None:
    calibrated = RoundFigures(number=4, phase="calibrate-range", status="closed", accuracy=0.7)
    answered = SUMMARY.model_copy(update={"answers": True, "history": (*SUMMARY.history, calibrated)})
    pages = [
        " ".join(write_report(summary, tmp_path / str(place)).read_text().split()) for place, summary in enumerate((SUMMARY, answered))
    ]
    for sentence in (
        "2.33 bytes a logit",
        "no weights of theirs left them",
        "In training rounds each institution evaluates its own student",
    ):
        assert [sentence in page for page in pages] == [False, True]
    assert ["2.33 bytes a parameter" in page for page in pages] == [True, False]
    console = Console(file=io.StringIO(), width=200)
    print_summary(answered, console)
    assert "accuracies by round are of their own students" in console.file.getvalue()  # type: ignore[attr-defined]
