"""Seconds that the cost model predicts for whole graphs, beside the seconds that onnxruntime takes for them on this machine.

    python -m benchmarks.edge_predictor --device x86-avx512-vnni [--rounds 5]

``--device`` is the profile of this machine (or the file that ``fedstill device measure`` wrote here): its tables are of single
operators alone, and this list of graphs had no part in them or in the model. Graphs are of every family that fedstill builds, at
several widths, depths and input sizes, with random weights, in float and in INT8. Each is timed in rounds over all graphs, batch 1,
one thread, by that thread's own clock: the smallest of the rounds' medians, as the tables are made. ``rank.*`` is Spearman's
correlation between predicted and measured, ``error.*`` the median of ``|predicted / measured - 1|``, ``faster_int8`` how often the
sign of what INT8 gains over float is predicted right. A processor with more than AVX2 can be measured as one without
(``benchmarks/avx2_only.c``), with ``--device x86-avx2``.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.harness import RESULTS, Claim, claim, parser, report
from shared.compress import runtime
from shared.compress.calibrate import ranges_of
from shared.compress.cost import predict
from shared.compress.devices import DeviceProfile, find_profile
from shared.compress.export import example_inputs, export_float
from shared.compress.quantise import quantise
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
        plot(points, RESULTS / picture(profile))
        keep(points, picture(profile))


def graphs(profile: DeviceProfile) -> Iterator[Subject]:
    """All graphs, each in float and in the profile's first grid."""
    for family, name, task, settings in architectures():
        model = build(settings, task, _normalisation(task), seed=1)
        content = export_float(model, task, example_inputs(task, 2))
        yield Subject(family, name, "float", content, task)
        yield Subject(family, name, "INT8", quantise(content, ranges(content, task), profile.grids[0]), task)


def ranges(content: bytes, task: Task) -> dict[str, tuple[float, float]]:
    """Those of a few invented records: where a ReLU has its zero decides what the runtime fuses."""
    return ranges_of(content, example_inputs(task, 4))


def architectures() -> Iterator[tuple[str, str, Task, NetworkSettings]]:
    """Family, what it is, task and settings: widths that fill blocks of 16 channels and some that do not."""
    for columns, width, depth in ((6, 16, 3), (12, 24, 2), (20, 48, 2), (32, 64, 2), (40, 32, 5), (50, 80, 3)):
        yield "tabular", f"{columns} columns, {width} × {depth}", _table(columns), NetworkSettings(width=width, depth=depth)
    for columns, width, depth in ((10, 48, 2), (25, 96, 1), (40, 200, 3), (80, 160, 2), (150, 384, 2), (250, 512, 3)):
        yield "perceptron", f"{columns} columns, {width} × {depth}", _table(columns), _settings("perceptron", width, depth)
    for size, width, depth in ((12, 16, 2), (16, 12, 2), (20, 24, 3), (24, 16, 4), (24, 32, 2), (32, 20, 3), (48, 16, 3), (56, 32, 5)):
        yield "convolutional", f"{size} px, {width} × {depth}", _image(size), _settings("convolutional", width, depth)
    for size, width, depth in ((28, 16, 4), (32, 24, 6), (48, 8, 5), (48, 16, 7), (64, 24, 8), (80, 32, 4)):
        yield "mobile", f"{size} px, {width} × {depth}", _image(size), _settings("mobile", width, depth)
    for size, width, depth in ((16, 48, 3), (24, 40, 2), (32, 32, 5), (32, 64, 2), (40, 80, 4), (48, 96, 5)):
        yield "vision", f"{size} px, {width} × {depth}", _image(size), _settings("transformer", width, depth)
    for tokens, width, depth in ((16, 48, 3), (24, 64, 2), (48, 64, 3), (64, 96, 2), (96, 80, 4), (128, 128, 3)):
        yield "text", f"{tokens} tokens, {width} × {depth}", _text(tokens), NetworkSettings(width=width, depth=depth)


def measured(subjects: Sequence[Subject], rounds: int) -> list[float]:
    """Seconds of one record of each graph: the smallest of the rounds' medians."""
    best = [math.inf] * len(subjects)
    for number in range(rounds):
        for place, subject in enumerate(subjects):
            session = runtime.session(subject.content)
            record = {"inputs": record_of(subject.task)}
            best[place] = min(best[place], _median(session, record))
        print(f"round {number + 1} of {rounds}", flush=True)
    return best


def record_of(task: Task) -> NDArray[Any]:
    """One record; a text's is as long as it may be, for that is what is predicted."""
    if isinstance(task, TextTask):
        return np.random.default_rng(1).integers(1, task.vocabulary, (1, task.max_tokens), dtype=np.int32)
    return example_inputs(task, 1)


def _median(session: Any, record: dict[str, NDArray[Any]]) -> float:
    durations = []
    for number in range(REPEATS + WARM_UP):
        start = time.thread_time()
        session.run(["logits"], record)
        if number >= WARM_UP:
            durations.append(time.thread_time() - start)
    return statistics.median(durations)


def claims(points: Sequence[Point]) -> list[Claim]:
    """Correlations and errors: of all graphs, of each family, and within each precision."""
    groups = grouped(points)
    found = [claim("graphs", [float(len(points))], "graphs")]
    found += [claim(f"rank.{name}", [rank(group)], "Spearman", goal=GOAL) for name, group in groups.items()]
    found += [claim(f"error.{name}", [_error(group)], "relative") for name, group in groups.items()]
    return [*found, claim("faster_int8", [right_about_int8(points)], "share")]


def grouped(points: Sequence[Point]) -> dict[str, list[Point]]:
    """All points, those of each precision and those of each family, by name."""
    groups = {"all": list(points)}
    groups |= {each: [point for point in points if point.subject.precision == each] for each in ("float", "INT8")}
    families = dict.fromkeys(point.subject.family for point in points)
    return groups | {each: [point for point in points if point.subject.family == each] for each in families}


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


def picture(profile: DeviceProfile) -> str:
    """The file name of a profile's plot."""
    return f"edge_predictor_{profile.name}.png"


def keep(points: Sequence[Point], image: str) -> None:
    """Appends every graph's figures to the page, and its ``image``."""
    path = RESULTS / "edge_predictor.md"
    rows = [_row(point) for point in points]
    head = ["", f"![predicted and measured]({image})", "", "| family | graph | | predicted ms | measured ms | ratio |"]
    write_atomic(path, (path.read_text() + "\n".join([*head, "| --- | --- | --- | --- | --- | --- |", *rows]) + "\n").encode())


def _row(point: Point) -> str:
    figures = f"{point.predicted * 1e3:.3f} | {point.measured * 1e3:.3f} | {point.predicted / point.measured:.2f}"
    return f"| {point.subject.family} | {point.subject.name} | {point.subject.precision} | {figures} |"


def rank(points: Sequence[Point]) -> float:
    """Spearman's correlation between predicted and measured."""
    return float(spearmanr([point.predicted for point in points], [point.measured for point in points]).statistic)


def _error(points: Sequence[Point]) -> float:
    return statistics.median(abs(point.predicted / point.measured - 1) for point in points)


def right_about_int8(points: Sequence[Point]) -> float:
    """How often the sign of what INT8 gains is predicted right; ``points``: of each graph in float, then in INT8."""
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
