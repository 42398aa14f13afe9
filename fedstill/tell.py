"""A run's events as a bar that moves and lines that stay."""

from __future__ import annotations

from fedstill.progress import Bar
from server.events import (
    ArtifactWritten,
    BudgetSpent,
    EpochOpened,
    Event,
    InstitutionAbsent,
    InstitutionRefused,
    PrivacyStated,
    RoundClosed,
    RoundStarted,
    RoundVoid,
    RunStarted,
)
from server.pruning import KEPT, UNDONE, WHOLE


class Teller:
    """Tells a person what a run is doing; give it to the coordinator as its ``on_event``."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar

    def __call__(self, event: Event) -> None:
        """Moves the bar, and says what a person would want to have read afterwards."""
        match event:
            case RoundStarted():
                self._bar.describe(_name(event.phase, event.training_round))
            case RoundClosed():
                self._bar.advance()
                for said in (*_suspicions(event), *_pruning(event)):
                    self._bar.say(said)
            case _:
                line = _line(event)
                if line is not None:
                    self._bar.say(line)


def _line(event: Event) -> str | None:
    match event:
        case RunStarted(resumed=True):
            return f"going on with run {event.run}"
        case PrivacyStated():
            before = f" (ε = {event.spent:.3g} of it is spent)" if event.spent else ""
            return (
                f"privacy: the updates of {event.rounds} rounds cost each institution at most ε = {event.epsilon:g} at "
                f"δ = {event.delta:g}{before}; statistics, evaluation, calibration and gate are exact sums"
            )
        case BudgetSpent():
            spent = f"ε = {event.epsilon:.4g} at δ = {event.delta:g}"
            return f"the privacy budget is spent: {spent} for {event.rounds} updates; training ends here"
        case EpochOpened():
            refused = "".join(f"; {name} refused: {reason}" for name, reason in event.refused.items())
            return f"epoch {event.epoch}: {', '.join(event.members)}{refused}"
        case InstitutionAbsent():
            return f"round {event.number}: {event.institution} is absent ({event.stage}): {event.reason}"
        case InstitutionRefused():
            return f"round {event.number}: {event.institution} refused ({event.stage}): {event.reason}"
        case RoundVoid():
            return f"round {event.number} is void: {event.reason}; it is trained anew"
        case ArtifactWritten():
            return f"signed artifact: {event.path}"
        case _:
            return None


def _suspicions(event: RoundClosed) -> list[str]:
    blamed = [f"round {event.number}: {name} gave wrong shares or commitments; they were left out" for name in event.blamed]
    pairs = [f"round {event.number}: {a} or {b} committed to a wrong seed; nobody can tell which" for a, b in event.doubted]
    return blamed + pairs


def _pruning(event: RoundClosed) -> list[str]:
    if UNDONE in event.metrics:
        return ["the gate signs no file of the pruned student, for what they lose: the student before pruning is judged"]
    if KEPT not in event.metrics or event.metrics[KEPT] == event.metrics[WHOLE]:
        return []
    return [f"pruned: {event.metrics[KEPT]:,.0f} of {event.metrics[WHOLE]:,.0f} parameters are left"]


def _name(phase: str, training_round: int | None) -> str:
    return phase if training_round is None else f"training round {training_round}"
