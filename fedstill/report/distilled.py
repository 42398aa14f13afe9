"""What a distillation without a federation ends with: a summary for scripts, and a table for people."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from shared.frozen import Frozen


class Scores(Frozen):
    """One model on the held-out records. ``latency_ms`` is for one record on one thread; ``bytes`` as float32."""

    accuracy: float
    macro_f1: float
    loss: float
    parameters: int | None = None
    bytes: int | None = None
    latency_ms: float | None = None


class DistilSummary(Frozen):
    """``epochs`` were done, fewer than planned where ``training.patience`` ended the fit. ``objective`` says which terms taught
    (:mod:`shared.distill.in_force`), ``kept`` is the student's part of the teacher's accuracy, ``targets_mb`` the size of the teacher's
    cached targets, ``files`` what the student consists of, by name.
    """

    name: str
    folder: Path
    records: int
    held_out: int
    epochs: int
    train_loss: float
    objective: str = ""
    teacher: Scores | None
    student: Scores
    kept: float | None
    targets_mb: float
    files: dict[str, str]
    seconds: dict[str, float]


def print_distilled(summary: DistilSummary, console: Console) -> None:
    """Prints teacher and student side by side, and where the student's files lie."""
    table = Table(title=f"{summary.name}: {summary.records:,} records learnt from, {summary.held_out:,} held out")
    for column in ("model", "accuracy, %", "macro-F1, %", "parameters", "MB", "ms a record"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for name, scores in (("teacher", summary.teacher), ("student", summary.student)):
        if scores is not None:
            table.add_row(name, *_cells(scores))
    console.print(table)
    if summary.objective:
        console.print(f"objective: {summary.objective}", highlight=False, soft_wrap=True)
    if summary.kept is not None:
        console.print(f"the student keeps {summary.kept:.1%} of the teacher's accuracy", highlight=False)
    parts = [f"{name} {seconds:.1f} s" for name, seconds in summary.seconds.items()]
    kept = [f"the teacher's targets take {summary.targets_mb:,.1f} MB"] if summary.teacher is not None else []
    console.print("; ".join([", ".join(parts), *kept]), highlight=False, soft_wrap=True)
    for name, file in summary.files.items():
        console.print(f"{name:<9} {summary.folder / file}", highlight=False, soft_wrap=True)


def _cells(scores: Scores) -> list[str]:
    return [
        f"{100 * scores.accuracy:.1f}",
        f"{100 * scores.macro_f1:.1f}",
        f"{scores.parameters:,}" if scores.parameters is not None else "",
        f"{scores.bytes / 1e6:,.2f}" if scores.bytes is not None else "",
        f"{scores.latency_ms:.3f}" if scores.latency_ms is not None else "",
    ]
