"""Seconds that the cost model predicts for whole graphs, beside the seconds that onnxruntime takes for them on this machine.

    python -m benchmarks.edge_predictor --device x86-avx512-vnni [--rounds 5]

``--device`` is the profile of this machine (or the file that ``fedstill device measure`` wrote here): its tables are of single
operators alone. Graphs are of every family that fedstill builds, at several widths, depths and input sizes, with random weights, in
float and in INT8. Each is timed in rounds over all graphs, batch 1, one thread: the smallest of the rounds' medians, as the tables
are made. ``rank.*`` is Spearman's correlation between predicted and measured, ``error.*`` the median of
``|predicted / measured - 1|``, ``faster_int8`` how often the sign of what INT8 gains over float is predicted right.
"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import spearmanr

from benchmarks.harness import RESULTS, Claim, claim, parser, report
from shared.compress import graph, runtime
from shared.compress.cost import predict
from shared.compress.devices import DeviceProfile, find_profile
from shared.compress.export import example_inputs, export_float
from shared.compress.latency import median_seconds
from shared.compress.quantise import quantise
from shared.compress.scope import scope
from shared.files import write_atomic
from shared.models import build
from shared.settings import NetworkSettings
from shared.task import ImageTask, NumericColumn, TabularTask, Task, TextTask, numeric_inputs
from shared.work import Normalisation

GOAL = 0.9
REPEATS, WARM_UP = 30, 5
LABELS = ("a", "b", "c", "d")


@dataclass(frozen=True)
class Subject:
    """One graph: its family, what it is, and its two files' precision."""

    family: str
    name: str
    precision: str
    content: bytes
    task: Task


@dataclass(frozen=True)
class Point:
    """A graph predicted and measured, in seconds."""

    subject: Subject
    predicted: float
    measured: float


def main() -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=1)
    options.add_argument("--device", default="x86-avx512-vnni", help="the profile of this machine")
    options.add_argument("--rounds", type=int, default=5, help="passes over all graphs (default 5)")
    arguments = options.parse_args()
    profile = find_profile(arguments.device)
    subjects = list(graphs(profile))
    print(f"{len(subjects)} graphs; load {os.getloadavg()[0]:.1f} before", flush=True)
    seconds = measured(subjects, arguments.rounds)
    points = [Point(each, predict(each.content, profile).seconds, taken) for each, taken in zip(subjects, seconds, strict=True)]
    print(f"load {os.getloadavg()[0]:.1f} after", flush=True)
    report("edge_predictor", claims(points), arguments)
    if not arguments.no_keep:
        plot(points, RESULTS / "edge_predictor.png")
        keep(points)


def graphs(profile: DeviceProfile) -> Iterator[Subject]:
    """All graphs, each in float and in the profile's first grid."""
    for family, name, task, settings in architectures():
        model = build(settings, task, _normalisation(task), seed=1)
        content = export_float(model, task, example_inputs(task, 2))
        ranges = dict.fromkeys(scope(graph.parse(content)).tensors, (-3.0, 3.0))
        yield Subject(family, name, "float", content, task)
        yield Subject(family, name, "INT8", quantise(content, ranges, profile.grids[0]), task)


def architectures() -> Iterator[tuple[str, str, Task, NetworkSettings]]:
    """Family, what it is, task and settings: widths that fill blocks of 16 channels and some that do not."""
    for columns, width, depth in ((8, 16, 2), (8, 32, 4), (24, 32, 2), (24, 64, 3), (60, 24, 2), (60, 96, 4)):
        yield "tabular", f"{columns} columns, {width} × {depth}", _table(columns), NetworkSettings(width=width, depth=depth)
    for columns, width, depth in ((12, 32, 1), (30, 64, 2), (30, 250, 2), (120, 128, 3), (120, 512, 2), (300, 512, 4)):
        yield "perceptron", f"{columns} columns, {width} × {depth}", _table(columns), _settings("perceptron", width, depth)
    for size, width, depth in ((16, 8, 2), (16, 16, 3), (28, 12, 2), (28, 16, 3), (28, 32, 3), (32, 24, 4), (64, 16, 4), (64, 32, 4)):
        yield "convolutional", f"{size} px, {width} × {depth}", _image(size), _settings("convolutional", width, depth)
    for size, width, depth in ((32, 8, 4), (32, 16, 6), (64, 16, 8), (64, 32, 6), (96, 16, 11), (96, 24, 5)):
        yield "mobile", f"{size} px, {width} × {depth}", _image(size), _settings("mobile", width, depth)
    for size, width, depth in ((16, 32, 2), (24, 32, 4), (24, 64, 3), (32, 96, 4), (48, 128, 3), (64, 64, 6)):
        yield "vision", f"{size} px, {width} × {depth}", _image(size), _settings("transformer", width, depth)
    for tokens, width, depth in ((16, 32, 2), (32, 64, 2), (64, 64, 4), (64, 128, 2), (128, 96, 3), (128, 192, 4)):
        yield "text", f"{tokens} tokens, {width} × {depth}", _text(tokens), NetworkSettings(width=width, depth=depth)


def measured(subjects: Sequence[Subject], rounds: int) -> list[float]:
    """Seconds of one record of each graph: the smallest of the rounds' medians."""
    best = [math.inf] * len(subjects)
    for number in range(rounds):
        for place, subject in enumerate(subjects):
            session = runtime.session(subject.content)
            record = {"inputs": example_inputs(subject.task, 1)}
            taken = median_seconds(lambda session=session, record=record: session.run(["logits"], record), repeats=REPEATS, warm_up=WARM_UP)  # type: ignore[misc]
            best[place] = min(best[place], taken)
        print(f"round {number + 1} of {rounds}", flush=True)
    return best


def claims(points: Sequence[Point]) -> list[Claim]:
    """Correlations and errors: of all graphs, of each family, and within each precision."""
    groups = {"all": list(points)}
    groups |= {each: [point for point in points if point.subject.precision == each] for each in ("float", "INT8")}
    families = dict.fromkeys(point.subject.family for point in points)
    groups |= {each: [point for point in points if point.subject.family == each] for each in families}
    found = [claim("graphs", [float(len(points))], "graphs")]
    found += [claim(f"rank.{name}", [_rank(group)], "Spearman", goal=GOAL) for name, group in groups.items()]
    found += [claim(f"error.{name}", [_error(group)], "relative") for name, group in groups.items()]
    return [*found, claim("faster_int8", [_right_about_int8(points)], "share")]


def plot(points: Sequence[Point], path: Path) -> None:
    """Predicted over measured, a colour a family, a mark a precision."""
    import io

    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 5.4), layout="constrained")
    axes = figure.subplots()
    for place, family in enumerate(dict.fromkeys(point.subject.family for point in points)):
        for precision, mark in (("float", "o"), ("INT8", "^")):
            chosen = [point for point in points if (point.subject.family, point.subject.precision) == (family, precision)]
            across, up = [point.measured * 1e3 for point in chosen], [point.predicted * 1e3 for point in chosen]
            axes.scatter(across, up, marker=mark, color=f"C{place}", label=f"{family}, {precision}", s=26)
    ends = [min(point.measured for point in points) * 800, max(point.measured for point in points) * 1250]
    axes.plot(ends, ends, color="grey", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="measured, ms", ylabel="predicted, ms")
    axes.legend(fontsize=7, ncols=2)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=130)
    write_atomic(path, content.getvalue())


def keep(points: Sequence[Point]) -> None:
    """Appends every graph's figures to the page."""
    path = RESULTS / "edge_predictor.md"
    rows = [_row(point) for point in points]
    head = ["", "![predicted and measured](edge_predictor.png)", "", "| family | graph | | predicted ms | measured ms | ratio |"]
    write_atomic(path, (path.read_text() + "\n".join([*head, "| --- | --- | --- | --- | --- | --- |", *rows]) + "\n").encode())


def _row(point: Point) -> str:
    figures = f"{point.predicted * 1e3:.3f} | {point.measured * 1e3:.3f} | {point.predicted / point.measured:.2f}"
    return f"| {point.subject.family} | {point.subject.name} | {point.subject.precision} | {figures} |"


def _rank(points: Sequence[Point]) -> float:
    return float(spearmanr([point.predicted for point in points], [point.measured for point in points]).statistic)


def _error(points: Sequence[Point]) -> float:
    return statistics.median(abs(point.predicted / point.measured - 1) for point in points)


def _right_about_int8(points: Sequence[Point]) -> float:
    pairs = list(zip(points[::2], points[1::2], strict=True))
    return sum((before.predicted > after.predicted) == (before.measured > after.measured) for before, after in pairs) / len(pairs)


def _settings(architecture: str, width: int, depth: int) -> NetworkSettings:
    return NetworkSettings.model_validate({"architecture": architecture, "width": width, "depth": depth})


def _normalisation(task: Task) -> Normalisation:
    return Normalisation(means=(1.0,) * numeric_inputs(task), deviations=(2.0,) * numeric_inputs(task))


def _table(columns: int) -> TabularTask:
    return TabularTask(
        family="tabular", label="label", labels=LABELS, columns=tuple(NumericColumn(name=f"c{place}") for place in range(columns))
    )


def _image(size: int) -> ImageTask:
    return ImageTask(family="image", labels=LABELS, size=size, channels=3)


def _text(tokens: int) -> TextTask:
    return TextTask(family="text", labels=LABELS, tokenizer_sha256="0" * 64, vocabulary=2000, max_tokens=tokens)


if __name__ == "__main__":
    main()
