"""The plots of the secure-aggregation benchmark, as PNG files: time beside Flower's and the bare cipher, and growth with the cohort."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from benchmarks.consortium import Measured
from benchmarks.secagg_figures import COLLECTING, FLOWERS, OURS, Comparison, cpu, short, total_cpu

COLOURS = {"Flower SecAgg+": "#7f7f7f", "fedstill": "#1f77b4", "AES-256-CTR alone": "#2ca02c"}


def draw(comparisons: Sequence[Comparison], cohorts: Mapping[int, Sequence[Measured]], folder: Path) -> None:
    """Writes ``secagg_times.png`` and ``secagg_cohort.png`` into ``folder``, each where there is something to draw."""
    folder.mkdir(parents=True, exist_ok=True)
    if comparisons:
        _times(comparisons).savefig(folder / "secagg_times.png")
    if cohorts:
        _cohort(cohorts).savefig(folder / "secagg_cohort.png")


def _times(comparisons: Sequence[Comparison]) -> Figure:
    # The narrowest ring stands for fedstill; the server's worst case for the server.
    width = min(one.case.width for one in comparisons)
    sizes = sorted({one.case.params for one in comparisons})
    figure = Figure(figsize=(7.2, 3.4 * len(sizes)), dpi=110, layout="constrained")
    for axes, (params, stage) in zip(
        figure.subplots(len(sizes), 2, squeeze=False).flat,
        ((params, stage) for params in sizes for stage in ("client", "server")),
        strict=True,
    ):
        shown = [one for one in comparisons if (one.case.params, one.case.width) == (params, width)]
        _side(axes, shown, stage)
        who = "an institution encodes and masks" if stage == "client" else "the server unmasks (most lost)"
        _dress(axes, f"{short(params)} words: {who}", sorted({one.case.members for one in shown}), "CPU seconds")
    return figure


def _side(axes: Axes, shown: Sequence[Comparison], side: str) -> None:
    chosen = {one.case.members: one for one in sorted(shown, key=lambda one: one.case.lost, reverse=side == "client")}
    lines = {
        "Flower SecAgg+": [[cpu(measured, *FLOWERS[side]) for measured in one.flower] for one in chosen.values()],
        "fedstill": [[cpu(measured, *OURS[side]) for measured in one.ours] for one in chosen.values()],
        "AES-256-CTR alone": [getattr(one.limits, side) for one in chosen.values()],
    }
    for label, values in lines.items():
        axes.plot([*chosen], [statistics.median(part) for part in values], marker="o", label=label, color=COLOURS[label])


def _cohort(cohorts: Mapping[int, Sequence[Measured]]) -> Figure:
    figure = Figure(figsize=(7.2, 3.4), dpi=110, layout="constrained")
    times, memory = figure.subplots(1, 2)
    stages = {
        "institution: encode and mask": lambda one: cpu(one, "client"),
        "institution: agree and open shares": lambda one: cpu(one, "agree", "unmask"),
        "coordinator: all answers": lambda one: total_cpu(one, *COLLECTING),
        "coordinator: unmask": lambda one: cpu(one, *OURS["server"]),
    }
    for label, read in stages.items():
        times.plot([*cohorts], [statistics.median(map(read, measured)) for measured in cohorts.values()], marker="o", label=label)
    held = {
        "coordinator, before unmasking": lambda one: one.coordinator_bytes / 1e6,
        "an institution sends": lambda one: one.bytes_up / 1e6,
    }
    for label, read in held.items():
        memory.plot([*cohorts], [statistics.median(map(read, measured)) for measured in cohorts.values()], marker="o", label=label)
    _dress(times, "Time of a round", [*cohorts], "CPU seconds")
    _dress(memory, "Coordinator's memory, and bytes sent", [*cohorts], "MB")
    return figure


def _dress(axes: Axes, title: str, members: Sequence[int], up: str) -> None:
    axes.set_title(title, loc="left", fontsize=9)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(members, [str(count) for count in members])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("members of the cohort", fontsize=8)
    axes.set_ylabel(up, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=7, frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
