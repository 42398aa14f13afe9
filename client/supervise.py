"""An institution's service: one SuperNode (the only connection, outbound) and one resident worker, kept alive together."""

from __future__ import annotations

import socket
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path

import tomli_w

from client.folder import InstitutionFolder
from client.metrics import InstitutionMetrics
from client.site import InstitutionSite
from client.upkeep import Keeper, Upkeep
from shared.certificates import load_certificate
from shared.enrolment import Connection, read_connection
from shared.errors import DeploymentError, IdentityError
from shared.files import PRIVATE_MODE, write_atomic
from shared.hosting import LOOPBACK, flower_environment, make_secret
from shared.identity import load_roster, read_private
from shared.metrics import serve_metrics
from shared.processes import Command, Ended, StopSignals, Supervisor, end_leftovers, free_port, only_one, tail
from shared.service import write_status

LOOK_S = 0.5
"""Seconds between two looks at the processes."""
FRESH_S = 20.0
"""Age of the SuperNode's last sign of life after which it is not taken for connected."""
_PROBE_S = 10.0
_STATUS_EVERY_S = 5.0


def supernode(home: InstitutionFolder, connection: Connection, port: int) -> Command:
    """Flower's SuperNode with quick polling: dials out to the coordinator, serves the worker on loopback."""
    where = ("--superlink", connection.address, "--root-certificates", str(home.ca))
    who = ("--auth-supernode-private-key", str(home.node_key), "--node-config", str(home.node_config))
    inner = ("--isolation", "process", "--host", LOOPBACK, "--port", str(port), "--superexec-auth-secret-file", str(home.secret))
    program = (sys.executable, "-P", "-m", "client.flower", "supernode", "--alive", str(home.alive), "--", *where, *who, *inner)
    return Command("supernode", program, home.log("supernode"), flower_environment(home.flower))


def worker(home: InstitutionFolder, port: int, threads: int) -> Command:
    """The resident worker that runs the installed ClientApp with ``threads`` threads."""
    where = ("--address", f"{LOOPBACK}:{port}", "--secret", str(home.secret))
    program = (sys.executable, "-P", "-m", "client.flower", "worker", *where)
    environment = {**flower_environment(home.flower), "OMP_NUM_THREADS": str(threads)}
    return Command("worker", program, home.log("worker"), environment)


class InstitutionService:
    """Runs until it is told to stop. ``say`` gets lines for operators.

    With ``patience_s`` it gives up if the coordinator has not accepted it for that long since the start. With ``metrics_port`` it
    answers ``/metrics`` on loopback.
    """

    def __init__(
        self, folder: Path, *, say: Callable[[str], None], patience_s: float | None = None, metrics_port: int | None = None
    ) -> None:
        """Checks the folder: configuration, keys, and what is pinned; raises the error of what is wrong."""
        self._home = InstitutionFolder(folder.absolute())
        site = InstitutionSite(folder.absolute())
        self._config = site.config
        _ = site.identity
        self._connection = read_connection(self._home.connection)
        load_certificate(self._home.ca)
        read_private(self._home.node_key)
        self._say = say
        self._patience_s = patience_s
        self._metrics_port = metrics_port
        self._supervisor = Supervisor(mark=str(self._home.folder))
        self._written = 0.0
        self._connected = False
        self._pinned = self._pinned_now()

    def serve(self) -> None:
        """Keeps the SuperNode and the worker alive until SIGINT (raises :class:`KeyboardInterrupt`) or SIGTERM (returns).

        Raises :class:`IdentityError` if the coordinator does not prove itself to the pinned CA, and
        :class:`DeploymentError` if patience ends.
        """
        metrics = serve_metrics(self._metrics_port, InstitutionMetrics(self._home.folder / "audit", lambda: self._connected).read)
        lock = only_one(self._home.flower / "lock", what=f"the service of {self._config.name}")
        with lock, StopSignals() as stop, metrics, self._supervisor:
            end_leftovers(str(self._home.folder))
            keeper = Keeper(Upkeep(self._home.folder, self._config.name, self._say))
            if not probe(self._connection, self._home.ca):
                self._say(f"{self._connection.address} does not answer yet; trying on")
            self._start()
            started = time.monotonic()
            with keeper:
                while not stop.wait(LOOK_S):
                    self._look()
                    if self._patience_s is not None and not self._home.alive.exists() and time.monotonic() - started > self._patience_s:
                        raise DeploymentError(self._refused())
            if stop.interrupted:
                raise KeyboardInterrupt

    def _start(self) -> None:
        self._home.alive.unlink(missing_ok=True)
        make_secret(self._home.secret)
        table = {"institution-dir": str(self._home.folder)}
        write_atomic(self._home.node_config, tomli_w.dumps(table).encode(), mode=PRIVATE_MODE)
        port = free_port()
        self._supervisor.start(supernode(self._home, self._connection, port))
        self._supervisor.start(worker(self._home, port, self._config.threads))

    def _look(self) -> None:
        if (now := self._pinned_now()) != self._pinned:
            # The worker has read the roster that was pinned before; as when it dies, its SuperNode starts anew with it.
            self._pinned = now
            self._say("another roster is pinned; starting the worker again")
            self._supervisor.restart("worker")
            self._supervisor.restart("supernode")
        for ended in self._supervisor.tend():
            self._explain(ended)
        connected = self._home.alive.exists() and time.time() - self._home.alive.stat().st_mtime < FRESH_S
        if connected != self._connected:
            self._say(
                f"{self._config.name} is connected to {self._connection.address}" if connected else "the connection is lost; trying on"
            )
        if connected != self._connected or time.monotonic() - self._written > _STATUS_EVERY_S:
            state = "connected" if connected else "connecting"
            write_status(self._home.status, "institution", state, online=(self._config.name,) if connected else ())
            self._written, self._connected = time.monotonic(), connected

    def _pinned_now(self) -> bytes:
        return load_roster(self._home.folder / "roster.json").digest

    def _explain(self, ended: Ended) -> None:
        log = self._home.log(ended.name)
        self._say(f"{ended.name} ended (code {ended.code}); starting it again; see {log}")
        if ended.name == "worker":
            # A SuperNode waits long for an answer that its dead worker cannot give; a new one frees the message at once.
            self._supervisor.restart("supernode")
        else:
            probe(self._connection, self._home.ca)

    def _refused(self) -> str:
        log = self._home.log("supernode")
        who = f"{self._connection.address} has not accepted {self._config.name} for {self._patience_s:g} s"
        return f"{who}: does it know this institution's node key (fedstill coordinator enrol)? See {log}: {tail(log, 2)}"


def probe(connection: Connection, ca: Path) -> bool:
    """Whether the coordinator answers and proves itself to the pinned CA; False if nobody answers.

    Raises :class:`IdentityError` if somebody answers who has no certificate of that CA for that name.
    """
    context = ssl.create_default_context(cafile=str(ca))
    try:
        with (
            socket.create_connection((connection.host, connection.port), timeout=_PROBE_S) as plain,
            context.wrap_socket(plain, server_hostname=connection.host),
        ):
            return True
    except ssl.SSLCertVerificationError as error:
        raise IdentityError(
            f"{connection.address} does not prove itself to the pinned {ca} ({error.verify_message}): "
            "it is not your coordinator, or its CA has changed; compare with its operator and pin again"
        ) from error
    except OSError:
        return False
