"""A run while it goes on, as one picture that moves: phase, round, who has answered, figures, what has happened.

Made of the events in the coordinator's store alone, so it can be looked at from another terminal, begun late, and left at any time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from server.database import SQLITE_FILE, named_url, store_url
from server.picture import Picture
from server.store import Store
from shared.errors import MissingFileError, RunError

LOOK_S = 0.5
"""Seconds between two looks into the store."""


def draw(picture: Picture) -> Group:
    """The picture for a terminal."""
    training = f", training round {picture.training_round} of {picture.rounds}" if picture.training_round is not None else ""
    head = f"{picture.run or '-'} is {picture.state}: {picture.phase or '-'}, round {picture.round}{training}"
    counts = f"{picture.closed} closed, {picture.void} void" + (f"; {picture.privacy}" if picture.privacy else "")
    figures = "  ".join(f"{name} {value:.4g}" for name, value in sorted(picture.figures.items()))
    return Group(Text(head, style="bold"), Text(counts), _table(picture), Text(figures), *(Text(line) for line in picture.lines))


def open_store(folder: Path) -> Store:
    """The store of a coordinator's folder, or of a simulation's; raises :class:`MissingFileError` if there is none."""
    for home in (folder, folder / "coordinator"):
        if named_url(home) is not None or (home / SQLITE_FILE).is_file():
            return Store(store_url(home))
    raise MissingFileError(f"{folder} has no {SQLITE_FILE}: name the folder of a coordinator or of a simulation that has begun a run")


def newest_run(store: Store, named: str | None) -> str:
    """The run that is meant: the named one, else the one with the newest event. Raises :class:`RunError` if there is none."""
    runs = store.runs()
    if named is not None and named not in runs:
        raise RunError(f"there is no run '{named}'; there are: {', '.join(runs) or 'none'}")
    if not runs:
        raise RunError("no run was begun in this folder yet; look again when one was")
    return named if named is not None else max(runs, key=lambda run: max((sequence for sequence, _, _ in store.events(run)), default=0))


def watch(store: Store, run: str, console: Console, *, once: bool = False, sleep: Callable[[float], None] = time.sleep) -> Picture:
    """Draws the run until it is finished, or ``once``; gives back the last picture."""
    picture, seen = Picture(), 0
    with Live(draw(picture), console=console, auto_refresh=False) as live:
        while True:
            for sequence, _, event in store.events(run, seen):
                picture.see(event)
                seen = sequence
            live.update(draw(picture), refresh=True)
            if once or picture.finished:
                return picture
            sleep(LOOK_S)


def _table(picture: Picture) -> Table:
    table = Table()
    for name in ("institution", "now", "KB up", "missed"):
        table.add_column(name, justify="right" if name in ("KB up", "missed") else "left")
    for name, member in sorted(picture.members.items()):
        table.add_row(Text(name), Text(member.doing), f"{member.bytes_up / 1000:,.1f}", str(member.missed))
    return table
