"""The plots show the summary's own numbers: each line and bar is read back from what was drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedstill.report import plots
from fedstill.report.summary import TITLES
from tests.fedstill.report.test_report import SUMMARY


@pytest.fixture
def axes() -> Axes:
    return Figure().subplots()


def test_every_model_has_a_colour() -> None:
    assert set(plots.COLOURS) == set(TITLES)


def test_accuracy_by_round_leaves_out_rounds_without_and_marks_what_went_wrong(axes: Axes) -> None:
    plots._rounds(SUMMARY, axes)
    curve, *marks = axes.lines
    assert curve.get_xydata().tolist() == [[1.0, 50.0], [3.0, 75.0]]  # type: ignore[union-attr]
    assert [(mark.get_xdata()[0], mark.get_color()) for mark in marks] == [(2, "#d62728")]  # type: ignore[index]


def test_bars_by_institution_are_per_cent_of_each_model_that_there_is(axes: Axes) -> None:
    plots._institutions(SUMMARY, axes)
    heights = [round(bar.get_height()) for bar in axes.patches]  # type: ignore[attr-defined]
    assert heights == [80, 90, 80, 80, 80, 80]
    legend = axes.get_legend()
    assert legend is not None
    assert [entry.get_text() for entry in legend.get_texts()] == [TITLES[key] for key in ("teacher", "fedstill", "int8")]


def test_bytes_are_those_of_the_largest_and_zero_where_nothing_was_sent(axes: Axes) -> None:
    plots._bytes(SUMMARY, axes)
    assert [bar.get_height() for bar in axes.patches] == [0.1, 0.0, 0.0]  # type: ignore[attr-defined]


def test_time_has_a_bar_a_part_the_first_at_the_top(axes: Axes) -> None:
    plots._time(SUMMARY, axes)
    assert [bar.get_width() for bar in axes.patches] == [8.5, 4.0]  # type: ignore[attr-defined]


def test_files_are_named_by_their_titles(tmp_path: Path) -> None:
    found = plots.write_plots(SUMMARY, tmp_path / "new" / "plots")
    assert [path.name for path in found.values()] == ["rounds.png", "institutions.png", "bytes.png", "time.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in found.values())
