"""Plots as values: which figures over which rounds. ``drawing.py`` makes lines of them; a program reads the same numbers as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from server.records import RoundRecord
from shared.frozen import Frozen

MOST_POINTS = 300
"""Points of one line; more rounds than that are put together, and each point is the mean of some."""
MOST_LINES = 6
"""Lines of one plot: as many as can be told apart."""

Point = tuple[float, float]


class Line(Frozen):
    """One figure: (number of the round, value)."""

    name: str
    points: tuple[Point, ...]


class Chart(Frozen):
    """Some figures of one unit over the rounds of a run; amounts are drawn ``from_zero``, so that twice as much is twice as high."""

    title: str
    unit: str
    lines: tuple[Line, ...]
    from_zero: bool = False


def charts_of(records: Sequence[RoundRecord]) -> tuple[Chart, ...]:
    """The plots of a run that have something to show: accuracy, loss, seconds by stage, kilobytes up and down."""
    closed = [record for record in records if record.status == "closed"]
    accuracies = _chart("Accuracy on held-out records", "%", closed, lambda record: _picked(record.metrics, "accuracy", 100.0))
    losses = _chart("Loss", "", closed, lambda record: _picked(record.metrics, "loss", 1.0))
    seconds = _chart("Seconds of waiting, by stage", "s", closed, lambda record: record.seconds, from_zero=True)
    sizes = _chart("Kilobytes of all institutions", "KB", closed, _kilobytes, from_zero=True)
    return tuple(chart for chart in (accuracies, losses, seconds, sizes) if chart.lines)


def _kilobytes(record: RoundRecord) -> Mapping[str, float]:
    return {"up": sum(record.bytes_up.values()) / 1000, "down": sum(record.bytes_down.values()) / 1000}


def _picked(metrics: Mapping[str, float], word: str, times: float) -> Mapping[str, float]:
    return {name: times * value for name, value in metrics.items() if word in name}


def _chart(
    title: str,
    unit: str,
    records: Iterable[RoundRecord],
    figures: Callable[[RoundRecord], Mapping[str, float]],
    *,
    from_zero: bool = False,
) -> Chart:
    found: dict[str, list[Point]] = {}
    for record in records:
        for name, value in figures(record).items():
            found.setdefault(name, []).append((float(record.number), value))
    lines = tuple(Line(name=name, points=thinned(points)) for name, points in sorted(found.items())[:MOST_LINES])
    return Chart(title=title, unit=unit, lines=lines, from_zero=from_zero)


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> tuple[Point, ...]:
    """At most ``most`` points: neighbours are put together in equal groups, each at the means of its numbers."""
    size = -(-len(points) // most)
    if size <= 1:
        return tuple(points)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return tuple((sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups)
