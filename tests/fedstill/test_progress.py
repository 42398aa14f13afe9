"""A bar on a terminal, lines elsewhere, and nothing on stdout."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fedstill.progress import counted, make_console, progress_bar


def test_a_log_gets_the_lines_and_no_bar() -> None:
    text = io.StringIO()
    with progress_bar(Console(file=text), total=2) as bar:
        bar.describe("one")
        bar.advance("two")
        bar.say("kept")
    assert text.getvalue() == "kept\n"


def test_a_terminal_gets_a_bar_that_goes_away_and_lines_that_stay() -> None:
    text = io.StringIO()
    with progress_bar(Console(file=text, force_terminal=True, width=100), total=2) as bar:
        bar.advance("training round 1")
        bar.say("kept")
    assert "kept" in text.getvalue()
    assert "training round 1" in text.getvalue()


def test_steps_are_counted_from_where_a_fit_goes_on() -> None:
    text = io.StringIO()
    with counted(Console(file=text, force_terminal=True, width=100), "fitting") as on_step:
        on_step(7, 9)
        on_step(9, 9)
    assert "fitting" in text.getvalue()
    assert "9/9" in text.getvalue()


def test_results_keep_stdout_for_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    make_console().print("progress")
    assert capsys.readouterr().out == ""
