from __future__ import annotations

import io
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from fedstill.report.compressed import CompressSummary, Cut, FileFigures, Stage, pareto, plot_pareto, print_compressed, print_cuts
from fedstill.report.compressed import print_files as shown_files
from fedstill.report.compressed import print_stages as shown_stages

WIDTH = 80
LARGE = Stage(name="teacher, torch", accuracy=0.95, macro_f1=0.9, parameters=10, bytes=4000, here_ms=2.0, peak_mb=300.0)
SMALL = Stage(name="INT8 u8u8", accuracy=0.94, macro_f1=0.9, parameters=1, bytes=400, here_ms=0.5, device_ms=0.25, peak_mb=60.0)
POINTS = st.lists(st.tuples(st.just("p"), st.floats(0.1, 10), st.floats(0, 1)), min_size=1, max_size=20)


def said(show) -> str:
    console = Console(file=io.StringIO(), width=WIDTH)
    show(console)
    return console.file.getvalue()


@given(POINTS)
def test_nothing_beats_a_point_of_the_front_and_something_beats_every_other(points):
    front = pareto(points)
    for point in points:
        beaten = any(other[1] <= point[1] and other[2] >= point[2] and other[1:] != point[1:] for other in points)
        assert (point[1:] in [kept[1:] for kept in front]) == (not beaten)


@given(POINTS)
def test_a_front_rises_in_cost_and_in_quality(points):
    front = pareto(points)
    assert [point[1] for point in front] == sorted(point[1] for point in front)
    assert [point[2] for point in front] == sorted(point[2] for point in front)


def test_every_column_is_seen_on_a_narrow_terminal():
    text = said(lambda console: shown_stages([LARGE, SMALL], console, "benchmark", "cortex-a72"))
    for heading in ("model", "right, %", "F1, %", "weights", "KB", "ms here", "ms there", "MB"):
        assert heading in text
    assert "there: cortex-a72, by its cost model" in text


def test_a_cut_says_why_it_was_not_kept_on_a_narrow_terminal():
    cuts = [
        Cut(name="1 of 6 blocks", before=0.95, accuracy=0.94, parameters=9, device_ms=1.0, accepted=True),
        Cut(
            name="depthwise + pointwise, 4 of 4 blocks",
            before=0.94,
            accuracy=0.5,
            parameters=3,
            device_ms=0.5,
            accepted=False,
            reason="44 points",
        ),
    ]
    text = said(lambda console: print_cuts(cuts, console))
    assert "kept" in text
    assert "44" in text
    assert "points" in text
    assert "nothing can be cut" in said(lambda console: print_cuts([], console))


def test_the_signed_file_is_marked_and_one_without_integers_says_so():
    common = {"accuracy": 0.9, "agreement": 1.0, "bytes": 1000, "here_ms": 0.1, "device_ms": 0.2, "float": {"Add": 2}}
    files = [
        FileFigures(name="u8u8", int8={"Conv": 3}, signed=True, **common),
        FileFigures(name="weights-only", int8={}, signed=False, **common),
    ]
    text = " ".join(said(lambda console: shown_files(files, console)).split())
    assert "(signed)" in text
    assert "weights alone" in text


def test_the_end_says_what_was_won(tmp_path: Path):
    summary = CompressSummary(
        name="t",
        folder=tmp_path,
        device="portable",
        records=10,
        max_drop=0.01,
        stages=(LARGE, SMALL),
        cuts=(),
        files=(),
        artifact=tmp_path / "artifact",
        signer="ab",
        plot=None,
        seconds={"benchmark": 1.0},
    )
    text = said(lambda console: print_compressed(summary, console))
    assert "-1.00 points of accuracy, 4.0 × faster here, 10.0 × smaller, 5.0 × less memory" in text


def test_a_plot_is_drawn(tmp_path: Path):
    plot_pareto([("a", 1.0, 0.9), ("b", 0.5, 0.8)], 0.7, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
