"""The short table at the end of a run, on stderr: results for scripts go to stdout."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from fedstill.report.summary import TITLES, Summary


def print_summary(summary: Summary, console: Console) -> None:
    """Prints the comparison, what happened to the rounds, and where everything lies."""
    console.print(accuracy_table(summary))
    console.print(size_table(summary))
    rounds = summary.rounds
    console.print(
        f"{rounds.closed} of {rounds.planned} training rounds closed"
        + (f", {rounds.void} void" if rounds.void else "")
        + f"; INT8 and float agree on {summary.agreement:.2%} of the held-out records"
    )
    for line in summary.objectives():
        console.print(line, highlight=False, soft_wrap=True)
    if summary.answers:
        console.print("institutions exchanged answers to proxy records; accuracies by round are of their own students", highlight=False)
    if summary.epsilon is not None:
        console.print(f"privacy: the updates cost each institution ε = {summary.epsilon:.4g} at δ = {summary.delta:g}", highlight=False)
    for note in summary.notes:
        console.print(f"  note: {note}", highlight=False)
    console.print(f"{summary.seconds:.1f} s, peak memory {summary.peak_memory_mb:,.0f} MB", highlight=False)
    console.print(f"report    {summary.run_dir}/report.html\nartifact  {summary.artifact}", highlight=False, soft_wrap=True)


def accuracy_table(summary: Summary) -> Table:
    """Held-out accuracy in per cent: a row a model, a column an institution (at most eight), then all records."""
    shown = list(summary.records)[:8]
    table = Table(title=f"{summary.name}: held-out accuracy, %")
    table.add_column("model", no_wrap=True)
    for name in shown:
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("all", justify="right", style="bold")
    for key in TITLES:
        if (figures := summary.metrics.get(key)) is not None:
            cells = [f"{100 * figures.accuracy[name]:.1f}" if name in figures.accuracy else "" for name in shown]
            table.add_row(TITLES[key], *cells, f"{100 * figures.overall:.1f}")
    return table


def size_table(summary: Summary) -> Table:
    """Parameters, bytes on disk and latency of the models that have them."""
    table = Table(title="size and speed (batch 1, one thread)")
    for column in ("model", "parameters", "KB", "ms"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for key in ("teacher", "fedstill", "int8"):
        if (figures := summary.metrics.get(key)) is not None:
            table.add_row(
                TITLES[key],
                f"{figures.parameters:,}" if figures.parameters is not None else "",
                f"{figures.bytes / 1000:,.1f}" if figures.bytes is not None else "",
                f"{figures.latency_ms:.3f}" if figures.latency_ms is not None else "",
            )
    return table
