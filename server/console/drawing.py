"""A chart as lines and ticks in the units of a picture, for a template that writes them as SVG. Plain arithmetic, no script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from server.console.charts import Chart, Line

WIDTH, HEIGHT = 640, 230
"""Size of a picture, in its own units."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 12, 30
_MARKED = 60
_TICKS = 5


@dataclass(frozen=True)
class Tick:
    """A value on an axis, and where it stands."""

    at: float
    text: str


@dataclass(frozen=True)
class Curve:
    """One line of a chart: ``path`` is the points of an SVG polyline, ``marks`` are drawn as dots where they are few."""

    name: str
    path: str
    marks: tuple[tuple[float, float], ...]
    newest: str


@dataclass(frozen=True)
class Drawing:
    """A chart that only has to be written out."""

    title: str
    unit: str
    curves: tuple[Curve, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


def draw(chart: Chart) -> Drawing:
    """The drawing of a chart with at least one point; raises :class:`ValueError` for one without."""
    xs = [x for line in chart.lines for x, _ in line.points]
    ys = [y for line in chart.lines for _, y in line.points]
    if not xs:
        raise ValueError("a chart without a point cannot be drawn")
    low, most = min(0.0, *ys) if chart.from_zero else min(ys), max(ys)
    across, up = _ticks(min(xs), max(xs), whole=True), _ticks(low, most, whole=False)
    wide = _Axis(min(xs), max(xs), _LEFT, WIDTH - _RIGHT)
    high = _Axis(min(up[0], low), max(up[-1], most), HEIGHT - _BOTTOM, _TOP)
    return Drawing(
        title=chart.title,
        unit=chart.unit,
        curves=tuple(_curve(line, wide, high) for line in chart.lines),
        across=tuple(Tick(wide.place(value), _short(value)) for value in across if min(xs) <= value <= max(xs)),
        up=tuple(Tick(high.place(value), _short(value)) for value in up),
    )


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        if self.high <= self.low:
            return round((self.start + self.end) / 2, 1)
        return round(self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low), 1)


def _curve(line: Line, wide: _Axis, high: _Axis) -> Curve:
    places = tuple((wide.place(x), high.place(y)) for x, y in line.points)
    path = " ".join(f"{x:g},{y:g}" for x, y in places)
    return Curve(line.name, path, places if len(places) <= _MARKED else (), _short(line.points[-1][1]))


def _ticks(low: float, high: float, *, whole: bool) -> Sequence[float]:
    """Round values from at most ``low`` to at least ``high``, in steps of 1, 2 or 5 times a power of ten."""
    spread = high - low or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(spread / _TICKS))
    step = next(power * times for times in (1, 2, 5, 10) if power * times * _TICKS >= spread * 0.999)
    if whole:
        step = max(1.0, step)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"
