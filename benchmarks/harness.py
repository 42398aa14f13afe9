"""What every benchmark shares: where the data is, how a claim is written down, and how it is printed and kept.

A claim is one measured figure with its unit, its seeds and their spread, the figure it is compared with, and the goal.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fedstill.machine import describe_machine
from shared.files import write_atomic
from shared.frozen import Frozen

RESULTS = Path(__file__).parents[1] / "docs" / "results"


class Claim(Frozen):
    """One figure: the median over ``seeds`` runs, ``spread`` their largest minus their smallest."""

    name: str
    value: float
    unit: str
    seeds: int
    spread: float
    baseline: float | None = None
    goal: float | None = None


def claim(name: str, values: Sequence[float], unit: str, *, baseline: float | None = None, goal: float | None = None) -> Claim:
    """The median of ``values`` (one a seed) as a claim. Raises ``ValueError`` where there is none."""
    if not values:
        raise ValueError(f"no measurement for {name}")
    spread = max(values) - min(values)
    return Claim(name=name, value=statistics.median(values), unit=unit, seeds=len(values), spread=spread, baseline=baseline, goal=goal)


def parser(description: str, *, seeds: int) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=seeds, help=f"how many seeds (default {seeds})")
    options.add_argument("--json", type=Path, metavar="FILE", help="also write the claims there")
    options.add_argument("--no-keep", action="store_true", help="do not append to docs/results/")
    return options


def bench_data(name: str) -> Path:
    """The folder ``name`` under ``FEDSTILL_BENCH_DATA``; says loudly what is missing and ends with code 21 if it is not there."""
    root = os.environ.get("FEDSTILL_BENCH_DATA")
    if root is None or not (Path(root) / name).is_dir():
        print(f"SKIPPED: set FEDSTILL_BENCH_DATA to a folder that holds {name}/ (now: {root or 'unset'})", file=sys.stderr)
        raise SystemExit(21)
    return Path(root) / name


def report(benchmark: str, claims: Sequence[Claim], options: argparse.Namespace) -> None:
    """Prints the claims as a table, writes ``--json``, and appends a dated section to ``docs/results/BENCHMARK.md``."""
    if options.json is not None:
        content = {"machine": describe_machine(), "claims": [entry.model_dump() for entry in claims]}
        write_atomic(options.json, json.dumps(content, indent=2).encode())
    table = Table(title=f"{benchmark} on {describe_machine()}")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("name", "unit") else "right")
    for entry in claims:
        table.add_row(*_cells(entry))
    Console(width=160).print(table)
    if not options.no_keep:
        _keep(benchmark, claims)


COLUMNS = ("name", "value", "unit", "seeds", "spread", "baseline", "goal")


def _cells(entry: Claim) -> list[str]:
    values = (entry.value, entry.spread, entry.baseline, entry.goal)
    value, spread, baseline, goal = ("" if number is None else f"{number:.4g}" for number in values)
    return [entry.name, value, entry.unit, str(entry.seeds), spread, baseline, goal]


def _keep(benchmark: str, claims: Sequence[Claim]) -> None:
    path = RESULTS / f"{benchmark}.md"
    head = path.read_text() if path.exists() else f"# {benchmark}\n"
    rows = "\n".join("| " + " | ".join(_cells(entry)) + " |" for entry in claims)
    command = " ".join(["python -m", f"benchmarks.{benchmark}", *(a for a in sys.argv[1:] if "/" not in a)])
    lines = [f"## {time.strftime('%Y-%m-%d')}, `{command}`", "", describe_machine(), "", f"| {' | '.join(COLUMNS)} |"]
    section = "\n" + "\n".join([*lines, "|" + " --- |" * len(COLUMNS), rows]) + "\n"
    write_atomic(path, (head + section).encode())
