"""Progress on stderr: bars where a person looks on, plain lines where a log does, nothing on stdout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


def make_console() -> Console:
    """A console on stderr, so that stdout carries results alone."""
    return Console(stderr=True)


class Bar:
    """One bar of known length; ``say`` puts a line above it that stays."""

    def __init__(self, console: Console, progress: Progress | None, total: int | None) -> None:
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
def progress_bar(console: Console, total: int | None) -> Iterator[Bar]:
    """A bar on a terminal, without an end where ``total`` is None; elsewhere only the lines that are said."""
    if not console.is_terminal:
        yield Bar(console, None, total)
        return
    columns = (TextColumn("{task.description:<40}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bar(console, progress, total)


@contextmanager
def counted(console: Console, description: str) -> Iterator[Callable[[int, int], None]]:
    """A bar whose length is known once the first step is done: yields what is called with the steps that are done and the number of all."""
    with ExitStack() as stack:
        bars: list[Bar] = []
        reached = 0

        def step(done: int, total: int) -> None:
            nonlocal reached
            if not bars:
                bars.append(stack.enter_context(progress_bar(console, total)))
            bars[0].advance(description, steps=done - reached)
            reached = done

        yield step
