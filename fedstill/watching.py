"""A run while it goes on, as one picture that moves: phase, round, who has answered, figures, what has happened.

Made of the events in the coordinator's store alone, so it can be looked at from another terminal, begun late, and left at any time.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fedstill.following import describe
from server.database import SQLITE_FILE, named_url, store_url
from server.events import (
    ArtifactWritten,
    BudgetSpent,
    Event,
    InstitutionAbsent,
    InstitutionAnswered,
    InstitutionRefused,
    PhaseStarted,
    PrivacyStated,
    RoundClosed,
    RoundStarted,
    RoundVoid,
    RunFinished,
    RunStarted,
    RunStopped,
)
from server.store import Store
from shared.errors import MissingFileError, RunError
from shared.printable import one_line

LOOK_S = 0.5
"""Seconds between two looks into the store."""
LINES = 8
"""Newest lines that stay in the picture."""


@dataclass
class Member:
    """An institution as the coordinator sees it: what it did last, bytes that came from it, rounds it missed."""

    doing: str = ""
    bytes_up: int = 0
    missed: int = 0


@dataclass
class Picture:
    """Everything that is drawn; :meth:`see` adds one event."""

    run: str = ""
    state: str = "not begun"
    phase: str = ""
    round: int = 0
    training_round: int | None = None
    rounds: int = 0
    closed: int = 0
    void: int = 0
    privacy: str = ""
    finished: bool = False
    members: dict[str, Member] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LINES))

    def see(self, event: Event) -> None:
        """Brings the picture up to ``event``."""
        self._of_the_run(event)
        self._of_a_round(event)
        self._of_a_member(event)
        if line := describe(event):
            self.lines.extend(line.splitlines())

    def _of_the_run(self, event: Event) -> None:
        match event:
            case RunStarted():
                self.run, self.rounds, self.state = event.run, event.rounds, "running"
                self.members = {name: self.members.get(name, Member()) for name in event.roster}
            case PrivacyStated():
                self.privacy = f"ε ≤ {event.epsilon:g} at δ = {event.delta:g}"
            case BudgetSpent():
                self.privacy = f"ε = {event.epsilon:.4g} at δ = {event.delta:g}: the budget is spent"
            case PhaseStarted():
                self.phase = event.phase
            case ArtifactWritten():
                self.lines.append(f"signed artifact: {event.path}")
            case RunFinished():
                self.state, self.finished = "finished", True
            case RunStopped():
                self.state = "stopped"
            case _:
                pass

    def _of_a_round(self, event: Event) -> None:
        match event:
            case RoundStarted():
                self.round, self.phase, self.training_round = event.number, event.phase, event.training_round
                for name, member in self.members.items():
                    member.doing = "asked" if name in event.cohort else "not in the cohort"
            case RoundClosed():
                self.closed += 1
                self.figures |= event.metrics
            case RoundVoid():
                self.void += 1
            case _:
                pass

    def _of_a_member(self, event: Event) -> None:
        if not isinstance(event, InstitutionAnswered | InstitutionAbsent | InstitutionRefused):
            return
        member = self.members.setdefault(event.institution, Member())
        match event:
            case InstitutionAnswered():
                member.doing = f"answered {event.stage} in {event.seconds:.1f} s"
                member.bytes_up += event.bytes_up
            case InstitutionAbsent():
                member.doing, member.missed = f"absent: {one_line(event.reason)}", member.missed + 1
            case InstitutionRefused():
                member.doing, member.missed = f"refused: {one_line(event.reason)}", member.missed + 1

    def draw(self) -> Group:
        """The picture for a terminal."""
        training = f", training round {self.training_round} of {self.rounds}" if self.training_round is not None else ""
        head = f"{self.run or '-'} is {self.state}: {self.phase or '-'}, round {self.round}{training}"
        counts = f"{self.closed} closed, {self.void} void" + (f"; {self.privacy}" if self.privacy else "")
        figures = "  ".join(f"{name} {value:.4g}" for name, value in sorted(self.figures.items()))
        return Group(Text(head, style="bold"), Text(counts), self._table(), Text(figures), *(Text(line) for line in self.lines))

    def _table(self) -> Table:
        table = Table()
        for name in ("institution", "now", "KB up", "missed"):
            table.add_column(name, justify="right" if name in ("KB up", "missed") else "left")
        for name, member in sorted(self.members.items()):
            table.add_row(Text(name), Text(member.doing), f"{member.bytes_up / 1000:,.1f}", str(member.missed))
        return table


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
    with Live(picture.draw(), console=console, auto_refresh=False) as live:
        while True:
            for sequence, _, event in store.events(run, seen):
                picture.see(event)
                seen = sequence
            live.update(picture.draw(), refresh=True)
            if once or picture.finished:
                return picture
            sleep(LOOK_S)
