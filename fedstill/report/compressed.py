"""What a compression ends with: a summary for scripts, tables and a plot for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from shared.frozen import Frozen


class Stage(Frozen):
    """A model on the way, on the held-out records.

    ``device_ms`` is the cost model's time of one record on the device, ``here_ms`` the measured one on this machine, one thread;
    ``peak_mb`` the memory of a fresh process with it. None where it was not looked at.
    """

    name: str
    accuracy: float
    macro_f1: float
    parameters: int | None
    bytes: int | None
    here_ms: float | None = None
    device_ms: float | None = None
    peak_mb: float | None = None


class Cut(Frozen):
    """One cut that was tried. ``accuracy`` after healing, and ``before`` the cut, are on the watched records; ``accepted`` says whether
    it was kept, ``reason`` why not."""

    name: str
    before: float
    accuracy: float
    parameters: int
    device_ms: float | None
    accepted: bool
    reason: str = ""


class FileFigures(Frozen):
    """One INT8 file on the gate's records."""

    name: str
    accuracy: float
    agreement: float
    bytes: int
    here_ms: float
    device_ms: float | None
    int8: dict[str, int]
    float: dict[str, int]
    signed: bool


class CompressSummary(Frozen):
    """``stages`` in their order, ``cuts`` that were tried, ``files`` before the gate, ``seconds`` by step; ``artifact`` is the folder of
    the signed one."""

    name: str
    folder: Path
    device: str
    records: int
    max_drop: float
    stages: tuple[Stage, ...]
    cuts: tuple[Cut, ...]
    files: tuple[FileFigures, ...]
    artifact: Path
    signer: str
    plot: Path | None
    seconds: dict[str, float]


def print_stages(stages: Sequence[Stage], console: Console, title: str, device: str) -> None:
    """The table of models: quality, size, time, memory."""
    table = Table(title=title)
    for column in ("model", "right, %", "F1, %", "weights", "KB", "ms here", "ms there", "MB"):
        table.add_column(column, justify="left" if column == "model" else "right", no_wrap=column != "model")
    for stage in stages:
        table.add_row(
            stage.name,
            f"{100 * stage.accuracy:.2f}",
            f"{100 * stage.macro_f1:.2f}",
            _whole(stage.parameters),
            _whole(None if stage.bytes is None else round(stage.bytes / 1000)),
            _ms(stage.here_ms),
            _ms(stage.device_ms),
            "" if stage.peak_mb is None else f"{stage.peak_mb:.0f}",
        )
    console.print(table)
    there = f" there: {device}, by its cost model;" if any(stage.device_ms is not None for stage in stages) else ""
    console.print(f"here: measured, one record, one thread;{there} MB: peak of a fresh process", highlight=False, soft_wrap=True)


def print_cuts(cuts: Sequence[Cut], console: Console) -> None:
    """The table of cuts: what each cost and won on the watched records, and whether it was kept."""
    if not cuts:
        console.print("prune: nothing can be cut: too few blocks, one head, and inner widths of one block of channels", highlight=False)
        return
    table = Table(title="prune: right answers on watched records, after healing")
    for column in ("cut", "before", "after, %", "weights", "ms there", "verdict"):
        words = column in ("cut", "verdict")
        table.add_column(column, justify="left" if words else "right", no_wrap=not words, min_width=12 if words else None)
    for cut in cuts:
        verdict = "kept" if cut.accepted else f"not kept: {cut.reason}"
        table.add_row(cut.name, f"{100 * cut.before:.2f}", f"{100 * cut.accuracy:.2f}", f"{cut.parameters:,}", _ms(cut.device_ms), verdict)
    console.print(table)


def print_files(files: Sequence[FileFigures], console: Console) -> None:
    """The table of INT8 files before the gate; the one that was signed is marked."""
    table = Table(title="quantise: INT8 files before the gate")
    for column in ("file", "right, %", "agrees", "KB", "ms here", "ms there", "in INT8"):
        table.add_column(column, justify="left" if column in ("file", "in INT8") else "right", no_wrap=column not in ("file", "in INT8"))
    for file in files:
        cells = (
            f"{100 * file.accuracy:.2f}",
            f"{100 * file.agreement:.2f}",
            f"{file.bytes / 1000:,.0f}",
            _ms(file.here_ms),
            _ms(file.device_ms),
        )
        integer = ", ".join(f"{count} {kind}" for kind, count in file.int8.items()) or "weights alone"
        table.add_row(f"{file.name} (signed)" if file.signed else file.name, *cells, integer)
    console.print(table)


def print_compressed(summary: CompressSummary, console: Console) -> None:
    """The end: what was won against the first model of the table, and where everything lies."""
    first, last = summary.stages[0], summary.stages[-1]
    won = [f"{100 * (last.accuracy - first.accuracy):+.2f} points of accuracy"]
    pairs = (
        ("faster here", first.here_ms, last.here_ms),
        ("smaller", first.bytes, last.bytes),
        ("less memory", first.peak_mb, last.peak_mb),
    )
    won += [f"{before / after:.1f} × {what}" for what, before, after in pairs if before and after]
    console.print(f"{last.name} beside {first.name}: {', '.join(won)}", highlight=False, soft_wrap=True)
    console.print(", ".join(f"{name} {seconds:.1f} s" for name, seconds in summary.seconds.items()), highlight=False, soft_wrap=True)
    console.print(f"artifact  {summary.artifact}\nsigner    {summary.signer}", highlight=False, soft_wrap=True)
    if summary.plot is not None:
        console.print(f"plot      {summary.plot}", highlight=False, soft_wrap=True)


def plot_pareto(points: Sequence[tuple[str, float, float]], budget_ms: float | None, file: Path) -> None:
    """Accuracy against time: each point's name, milliseconds and accuracy (fraction). Those that no other beats in both are joined."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.8), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.scatter([ms for _, ms, _ in points], [100 * accuracy for *_, accuracy in points], s=18, color="#7f7f7f")
    for name, ms, accuracy in points:
        axes.annotate(name, (ms, 100 * accuracy), fontsize=7, xytext=(3, 3), textcoords="offset points")
    front = pareto(points)
    axes.step([ms for _, ms, _ in front], [100 * accuracy for *_, accuracy in front], where="post", color="#1f77b4", linewidth=1)
    if budget_ms is not None:
        axes.axvline(budget_ms, color="#d62728", linewidth=1, linestyle=":")
    axes.set_xlabel("milliseconds for one record, one thread")
    axes.set_ylabel("accuracy, %")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(file)


def pareto(points: Sequence[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    """Those of (name, cost, quality) that no other equals or beats in cost and beats in quality, by rising cost."""
    front: list[tuple[str, float, float]] = []
    for point in sorted(points, key=lambda point: (point[1], -point[2])):
        if not front or point[2] > front[-1][2]:
            front.append(point)
    return front


def _whole(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _ms(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.3f}"
