"""An event as one line for operators: in a service's log, in ``fedstill run watch`` and in the console."""

from __future__ import annotations

from server.events import (
    EpochOpened,
    Event,
    InstitutionAbsent,
    InstitutionRefused,
    PhaseStarted,
    RoundClosed,
    RoundVoid,
    RunStarted,
)
from shared.printable import one_line


def describe(event: Event) -> str:
    """One line about an event; empty where there is nothing an operator would want to read. What others said in it moves no cursor."""
    match event:
        case RunStarted():
            return f"run {event.run} {'goes on' if event.resumed else 'begins'}: {len(event.roster)} institutions, {event.rounds} rounds"
        case EpochOpened():
            refused = "".join(f"\n  {name} refused: {one_line(sentence)}" for name, sentence in sorted(event.refused.items()))
            return f"epoch {event.epoch}: {', '.join(event.members)}{refused}"
        case PhaseStarted():
            return f"phase {event.phase}"
        case RoundClosed():
            seconds = sum(event.seconds.values())
            figures = ", ".join(f"{name} {value:.4g}" for name, value in sorted(event.metrics.items()))
            return f"round {event.number} ({event.phase}) closed with {len(event.survivors)} in {seconds:.1f} s {figures}".rstrip()
        case RoundVoid():
            return f"round {event.number} ({event.phase}) is void: {one_line(event.reason)}"
        case InstitutionAbsent() | InstitutionRefused():
            return f"{event.institution} did not answer {event.stage} of round {event.number}: {one_line(event.reason)}"
        case _:
            return ""
