"""A deployed run's events as lines for operators, as they come out of the coordinator's store."""

from __future__ import annotations

import logging
from collections.abc import Callable

from rich.console import Console

from fedstill.progress import make_console
from server.describing import describe
from server.events import Event
from shared.logs import set_up, use_json

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
