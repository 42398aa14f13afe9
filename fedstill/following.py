"""A deployed run's events as lines for operators, as they come out of the coordinator's store."""

from __future__ import annotations

import logging
from collections.abc import Callable

from rich.console import Console

from fedstill.progress import make_console
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
from shared.logs import set_up, use_json
from shared.printable import one_line

Say = Callable[[str], None]
Listen = Callable[[Event], None]
_LOG = logging.getLogger("fedstill.service")


def operator(*, log_json: bool) -> tuple[Say, Listen]:
    """What a service says to its operator, and how it tells a run's events: on stderr, as lines or as JSON.

    Processes that the service starts from now on log in the same form.
    """
    use_json(log_json)
    if log_json:
        set_up(logging.getLogger("fedstill"))
        return _LOG.info, lambda event: _LOG.info(event.kind, extra={"fields": event.model_dump(mode="json", exclude={"kind"})})
    console = make_console()
    return lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True), follower(console)


def both(listen: Listen, mlflow: str | None, say: Say) -> Listen:
    """``listen``, and after it MLflow at the URL ``mlflow`` if there is one; raises as :func:`fedstill.tracking.open_tracker`."""
    if mlflow is None:
        return listen
    from fedstill.tracking import open_tracker

    track = open_tracker(mlflow, say)

    def told(event: Event) -> None:
        listen(event)
        track(event)

    return told


def follower(console: Console) -> Listen:
    """A listener that says each event worth a line on ``console``."""

    def listen(event: Event) -> None:
        line = describe(event)
        if line:
            console.print(line, highlight=False, markup=False, soft_wrap=True)

    return listen


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
