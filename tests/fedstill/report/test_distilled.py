"""What a person reads after a distillation: both models where there are two, what is kept, and every file of the student."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from fedstill.report.distilled import DistilSummary, Scores, print_distilled

STUDENT = Scores(accuracy=0.9, macro_f1=0.8, loss=0.3, parameters=1234, bytes=4936, latency_ms=0.25)
SUMMARY = DistilSummary(
    name="trial",
    folder=Path("/runs/trial"),
    records=1000,
    held_out=500,
    epochs=3,
    train_loss=0.4,
    teacher=STUDENT.model_copy(update={"parameters": None, "bytes": None, "accuracy": 0.95}),
    student=STUDENT,
    kept=0.9 / 0.95,
    targets_mb=1.5,
    files={"student": "student.safetensors", "graph": "student.onnx"},
    seconds={"records": 0.1, "student": 2.0},
)


def printed(summary: DistilSummary) -> str:
    console = Console(file=io.StringIO(), width=100)
    print_distilled(summary, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_both_models_and_every_file_are_there() -> None:
    found = printed(SUMMARY)
    for part in ("1,000 records learnt from, 500 held out", "1,234", "95.0", "keeps 94.7%", "targets take 1.5 MB", "student 2.0 s"):
        assert part in found
    assert "graph     /runs/trial/student.onnx" in found
    assert "None" not in found


@pytest.mark.parametrize("kept", [None, 0.5])
def test_without_a_teacher_nothing_is_said_of_one(kept: float | None) -> None:
    found = printed(SUMMARY.model_copy(update={"teacher": None, "kept": kept}))
    assert ("keeps" in found) == (kept is not None)
    assert "targets" not in found
    assert found.count("student ") >= 2


def test_the_objective_is_one_line_and_an_older_summary_has_none() -> None:
    sentence = "0.3 labels + 0.7 soft targets (kl, T 2); not in force: attention (the teacher shows none)"
    assert f"\nobjective: {sentence}\n" in printed(SUMMARY.model_copy(update={"objective": sentence}))
    assert "objective" not in printed(SUMMARY)


def test_a_summary_is_read_as_it_was_written() -> None:
    assert DistilSummary.model_validate_json(SUMMARY.model_dump_json()) == SUMMARY
