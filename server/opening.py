"""The coordinator's door without a run: institutions join and renew, read plans and fetch artifacts; no SuperLink runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from server.frontage import EXPENDABLE, Frontage
from server.metrics import read_metrics
from server.site import CoordinatorSite
from server.superlink import CoordinatorFolder
from server.supervise import LOOK_S, MOST_FAILURES, RENEWAL_S, START_S, check_keys
from shared.errors import DeploymentError, FedstillError
from shared.metrics import serve_metrics
from shared.processes import StopSignals, Supervisor, end_leftovers, only_one, refuse_taken_port, tail
from shared.service import write_status


class OpenDoor:
    """Keeps the door of a coordinator's folder open until it is told to stop. ``say`` gets lines for operators.

    With ``metrics_port`` it answers ``/metrics`` on loopback, as the service of a run does.
    Without ``console`` there is no page to look at.
    """

    def __init__(
        self, folder: Path, host: str, port: int, *, say: Callable[[str], None], metrics_port: int | None = None, console: bool = True
    ) -> None:
        """Checks the folder: configuration, roster, keys and the certificates' dates; raises the error of what is wrong."""
        self._home = CoordinatorFolder(folder.absolute())
        self._host, self._port, self._say = host, port, say
        site = CoordinatorSite(folder.absolute())
        _ = site.config
        check_keys(site, self._home)
        self._supervisor = Supervisor(mark=str(self._home.folder))
        self._frontage = Frontage(self._home, self._supervisor, host, port, console=console)
        self._site, self._metrics_port = site, metrics_port
        self._members = frozenset(site.roster.members)

    def serve(self) -> None:
        """Serves until SIGINT (raises :class:`KeyboardInterrupt`) or SIGTERM (returns)."""
        metrics = serve_metrics(self._metrics_port, lambda: read_metrics(self._site, self._home.status))
        with only_one(self._home.flower / "lock", what="a coordinator"), StopSignals() as stop, metrics, self._supervisor:
            end_leftovers(str(self._home.folder))
            refuse_taken_port(self._host, self._port)
            self._frontage.start()
            self._open(stop)
            renewed = time.monotonic()
            while not stop.wait(LOOK_S):
                self._look()
                if time.monotonic() - renewed > RENEWAL_S:
                    renewed = time.monotonic()
                    self._renew()
            if stop.interrupted:
                raise KeyboardInterrupt

    def _open(self, stop: StopSignals) -> None:
        deadline = time.monotonic() + START_S
        while not self._frontage.answers() and not stop.wait(LOOK_S):
            self._look()
            if time.monotonic() > deadline:
                log = self._home.log("door")
                raise DeploymentError(f"the door did not open within {START_S:g} s; see {log}: {tail(log)}")
        self._say(f"the door is open on port {self._port}; {len(self._members)} institutions are on the roster")

    def _renew(self) -> None:
        # The certificate is renewed long before it ends: a full disk today is no reason to close the door.
        try:
            self._frontage.renew()
        except (FedstillError, OSError) as error:
            self._say(f"the certificate could not be renewed and will be tried again: {error}")

    def _look(self) -> None:
        for ended in self._supervisor.tend():
            log = self._home.log(ended.name)
            if ended.failures >= MOST_FAILURES and ended.name not in EXPENDABLE:
                raise DeploymentError(f"{ended.name} ended {ended.failures} times in a row (code {ended.code}); see {log}: {tail(log)}")
            if ended.failures <= MOST_FAILURES:
                self._say(f"{ended.name} ended (code {ended.code}); starting it again")
        members = frozenset(CoordinatorSite(self._home.folder).current_roster().members)
        for name in sorted(members - self._members):
            self._say(f"{name} has joined")
        self._members = members
        write_status(self._home.status, "coordinator", "open", ports={"door": self._port, **self._frontage.ports})
