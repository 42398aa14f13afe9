"""A run while it goes on, as one value: phase, round, who has answered, figures, what has happened.

Made of the events in the coordinator's store alone, so it can be begun late and left at any time. ``fedstill run watch`` draws it for a
terminal, the console for a browser.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from server.describing import describe
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
from shared.printable import one_line

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
