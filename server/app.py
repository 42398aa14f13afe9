"""The Flower ServerApp: hands Flower's grid to the coordinator. Imports no torch.

``context.run_config["coordinator-dir"]`` is the coordinator's folder, ``["run"]`` the run's name, which outlives Flower's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from server.coordinator import Coordinator, RunResult
from server.events import Event
from server.flower import GridExchange, pull_quickly
from server.site import CoordinatorSite
from server.stopping import StopSignal
from server.toolbox import Toolbox
from shared.errors import DeploymentError
from shared.logs import set_up, wants_json

PATIENCE_S = 30.0
"""How long a deployed node that went away in the middle of a round may take to come back."""
_LOG = logging.getLogger("fedstill.server")


def log_event(event: Event) -> None:
    """Writes an event into the service's log."""
    _LOG.info("%s", event.model_dump_json())


def make_app(
    *,
    on_event: Callable[[Event], None] = log_event,
    on_result: Callable[[RunResult], None] = lambda result: None,
    toolbox: Toolbox | None = None,
    stop: StopSignal | None = None,
    poll_s: float = 0.1,
    patience_s: float = 0.0,
) -> ServerApp:
    """A ServerApp that tells ``on_event`` what happens and gives ``on_result`` the finished run."""
    made = ServerApp()

    @made.main()
    def main(grid: Grid, context: Context) -> None:
        pull_quickly()
        if wants_json():
            set_up(logging.getLogger("fedstill"))
        run = _text(context, "run")
        site = CoordinatorSite(Path(_text(context, "coordinator-dir")), run=run)
        signal = stop or StopSignal()
        exchange = GridExchange(grid, frozenset(site.roster.members), poll_s=poll_s, patience_s=patience_s, stop=signal)
        on_result(Coordinator(site, exchange, on_event, toolbox=toolbox, stop=signal).run(run))

    return made


def _text(context: Context, key: str) -> str:
    value = context.run_config.get(key)
    if not isinstance(value, str) or not value:
        raise DeploymentError(f"the run was started without {key}; start it with 'fedstill coordinator run'")
    return value


app = make_app(patience_s=PATIENCE_S)
