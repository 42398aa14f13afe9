"""The plots of a report, as PNG files: quality by round, by institution and model, bytes, and where the time went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedstill.report.summary import TITLES, RoundFigures, Summary

COLOURS = {
    "teacher": "#7f7f7f",
    "local": "#c7c7c7",
    "federated": "#aec7e8",
    "fedstill": "#1f77b4",
    "int8": "#17becf",
    "pooled": "#dddddd",
    "bare": "#f0e6d2",
}


def write_plots(summary: Summary, folder: Path) -> dict[str, Path]:
    """Writes every plot into ``folder`` and gives back title → file."""
    folder.mkdir(parents=True, exist_ok=True)
    drawings: dict[str, tuple[str, Callable[[Summary, Axes], None]]] = {
        "rounds.png": ("Held-out accuracy by round (from masked sums)", _rounds),
        "institutions.png": ("Held-out accuracy by institution", _institutions),
        "bytes.png": ("Bytes sent by an institution in a round", _bytes),
        "time.png": ("Where the time went", _time),
    }
    files = {}
    for file, (title, draw) in drawings.items():
        figure = Figure(figsize=(7.2, 3.6), dpi=110, layout="constrained")
        axes = figure.subplots()
        draw(summary, axes)
        axes.set_title(title, loc="left", fontsize=11)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        figure.savefig(folder / file)
        files[title] = folder / file
    return files


def _rounds(summary: Summary, axes: Axes) -> None:
    # The accuracy that a round reports is that of the model it started from: with answers, of the institutions' own ones in training.
    seen = [entry for entry in summary.history if entry.accuracy is not None]
    _line(axes, [entry for entry in seen if not summary.answers or entry.phase != "train"], "fedstill", "published student")
    if summary.answers:
        _line(axes, [entry for entry in seen if entry.phase == "train"], "local", "institutions' own students")
        axes.legend(fontsize=7, frameon=False)
    for entry in summary.history:
        if entry.status == "void" or entry.absent:
            axes.axvline(entry.number, color="#d62728" if entry.status == "void" else "#ff7f0e", alpha=0.4, linewidth=4)
    axes.set_xlabel("round (orange: an institution was lost; red: void)")
    axes.set_ylabel("accuracy, %")


def _line(axes: Axes, entries: Sequence[RoundFigures], colour: str, label: str) -> None:
    values = [100 * entry.accuracy for entry in entries if entry.accuracy is not None]
    axes.plot([entry.number for entry in entries], values, marker="o", color=COLOURS[colour], label=label)


def _institutions(summary: Summary, axes: Axes) -> None:
    names = list(summary.records)[:12]
    models = [key for key in TITLES if key in summary.metrics]
    width = 0.8 / len(models)
    for offset, key in enumerate(models):
        figures = summary.metrics[key]
        heights = [100 * figures.accuracy.get(name, np.nan) for name in names]
        axes.bar(np.arange(len(names)) + (offset - len(models) / 2) * width, heights, width, label=TITLES[key], color=COLOURS[key])
    axes.set_xticks(np.arange(len(names)), names)
    axes.set_ylabel("accuracy, %")
    axes.legend(fontsize=7, ncols=6, loc="upper center", bbox_to_anchor=(0.5, -0.1), frameon=False)


def _bytes(summary: Summary, axes: Axes) -> None:
    numbers = [entry.number for entry in summary.history]
    kilobytes = [max(entry.bytes_up.values(), default=0) / 1000 for entry in summary.history]
    axes.bar(numbers, kilobytes, color=COLOURS["fedstill"])
    axes.set_xlabel("round")
    axes.set_ylabel("KB, the largest of a cohort")


def _time(summary: Summary, axes: Axes) -> None:
    parts = list(summary.seconds_by_part.items())[::-1]
    axes.barh([part for part, _ in parts], [seconds for _, seconds in parts], color=COLOURS["fedstill"])
    axes.set_xlabel("seconds")
