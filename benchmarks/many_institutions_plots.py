"""The plot of ``many_institutions``: the coordinator's memory and time against the number of institutions."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.many_institutions import Measured


def draw(found: Sequence[Measured], folder: Path) -> None:
    """Writes ``many_institutions.png`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(7.2, 3.4), dpi=110, layout="constrained")
    memory, times = figure.subplots(1, 2)
    counts = [one.institutions for one in found]
    memory.plot(counts, [one.memory / 1e6 for one in found], marker="o", label="coordinator, at its highest")
    memory.plot(counts, [one.before / 1e6 for one in found], marker="o", label="coordinator, before the run")
    memory.plot(counts, [one.others / 1e6 for one in found], marker="o", label="an institution, at its highest")
    times.plot(counts, [statistics.median(one.seconds) for one in found], marker="o", label="seconds, all on this machine")
    times.plot(counts, [statistics.median(one.cpu) for one in found], marker="o", label="CPU seconds of the coordinator")
    _dress(memory, "Memory", counts, "MB")
    _dress(times, "A training round", counts, "s")
    figure.savefig(folder / "many_institutions.png")


def _dress(axes: Axes, title: str, counts: Sequence[int], up: str) -> None:
    axes.set_title(title, loc="left", fontsize=9)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("institutions", fontsize=8)
    axes.set_ylabel(up, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=7, frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
