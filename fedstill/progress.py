"""Progress on stderr: bars where a person looks on, plain lines where a log does, nothing on stdout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


def make_console() -> Console:
    """A console on stderr, so that stdout carries results alone."""
    return Console(stderr=True)


class Bar:
    """One bar of known length; ``say`` puts a line above it that stays."""

    def __init__(self, console: Console, progress: Progress | None, total: int) -> None:
        self._console = console
        self._progress = progress
        self._task = progress.add_task("", total=total) if progress else None

    def advance(self, description: str = "", steps: int = 1) -> None:
        """One step further, and what is being done now."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, advance=steps, description=description)

    def describe(self, description: str) -> None:
        """What is being done now."""
        self.advance(description, steps=0)

    def say(self, line: str) -> None:
        """A line that stays on the screen and in a log."""
        self._console.print(line, highlight=False)


@contextmanager
def progress_bar(console: Console, total: int) -> Iterator[Bar]:
    """A bar on a terminal; elsewhere only the lines that are said."""
    if not console.is_terminal:
        yield Bar(console, None, total)
        return
    columns = (TextColumn("{task.description:<40}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bar(console, progress, total)
