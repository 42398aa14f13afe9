"""The coordinator's service: keeps its processes alive, waits for the institutions, starts a run and follows it to its end."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from server.control import Control
from server.events import Event
from server.frontage import EXPENDABLE, Frontage
from server.metrics import read_metrics
from server.site import PLAN_FILE, CoordinatorSite
from server.store import Store
from server.superlink import CoordinatorFolder, executor, superlink
from shared.bundle import COORDINATOR_DIR, RUN
from shared.certificates import load_certificate
from shared.errors import DeploymentError, FedstillError, RunError
from shared.files import write_atomic
from shared.hosting import LOOPBACK, make_secret
from shared.identity import read_private
from shared.metrics import serve_metrics
from shared.processes import Ended, StopSignals, Supervisor, end_leftovers, free_port, only_one, refuse_taken_port, tail
from shared.secagg.roster import Roster
from shared.service import write_status
from shared.signed import make_plan, sign_plan

LOOK_S = 0.5
"""Seconds between two looks at the processes and the run."""
START_S = 90.0
"""Longest wait for a process to be ready."""
MOST_FAILURES = 6
"""Starts in a row after which a process that keeps ending is given up."""
MOST_RESTARTS = 20
"""Flower runs after which one fedstill run is given up; each goes on where the last one was lost."""
UNREACHABLE_S = 120.0
"""Longest time for which SuperLink may be away while a run is on."""

KEEP_UP_S, RENEWAL_S = 1.0, 3600.0
"""Seconds between two looks at the roster, and at the end of the server's certificate."""
ROSTER_S = 30.0
"""How long a run rests after a revocation, so that the others have heard of it (``client/upkeep.py``) when it opens its next epoch.
Who was revoked is out from the first moment."""

_FAILED_INSIDE = "ServerApp failed with exception: "


@dataclass(frozen=True)
class ServiceOptions:
    """What ``fedstill coordinator run`` was asked for.

    ``run`` names the run (default: the unfinished one, or a new one); the service waits ``wait_s`` seconds for all of
    the roster, and starts with ``least`` institutions (default: the smallest cohort) if no more have come by then. With
    ``metrics_port`` it answers ``/metrics`` on loopback. Without ``console`` there is no page to look at.
    """

    host: str = "0.0.0.0"
    port: int = 8443
    run: str | None = None
    resume: bool = False
    wait_s: float = 600.0
    least: int | None = None
    metrics_port: int | None = None
    console: bool = True


@dataclass(frozen=True)
class Outcome:
    """A finished run: its name, its artifact's folder, and how many Flower runs it took."""

    run: str
    artifact: str
    flower_runs: int
    seconds: float


class CoordinatorService:
    """Runs one fedstill run from a coordinator's folder. ``say`` gets lines for operators, ``on_event`` the run's events."""

    def __init__(
        self, folder: Path, options: ServiceOptions, *, say: Callable[[str], None], on_event: Callable[[Event], None] = lambda _: None
    ) -> None:
        """Checks the folder: configuration, roster, keys and the certificates' dates; raises the error of what is wrong."""
        self._home = CoordinatorFolder(folder.absolute())
        self._site = CoordinatorSite(folder.absolute())
        self._options = options
        self._say = say
        self._on_event = on_event
        self._least = options.least if options.least is not None else self._site.config.aggregation.smallest_cohort
        self._nodes = read_nodes(self._home.nodes, self._site.roster, self._least)
        check_keys(self._site, self._home)
        self._trust = ssl.create_default_context(cafile=str(self._home.ca))
        self._supervisor = Supervisor(mark=str(self._home.folder))
        self._frontage = Frontage(self._home, self._supervisor, options.host, options.port, console=options.console)
        self._ports = {"superlink": 0, "door": options.port}
        self._seen = 0
        self._stumbled, self._lost = "", ""
        self._online: tuple[str, ...] = ()
        self._running_with = self._site.roster
        self._kept_up = self._renewed = time.monotonic()

    def serve(self) -> Outcome:
        """Starts everything, runs the run and ends everything.

        Raises :class:`KeyboardInterrupt` after SIGINT or SIGTERM, :class:`RunError` if the run failed, and
        :class:`DeploymentError` if a process or the institutions did not come.
        """
        started = time.monotonic()
        metrics = serve_metrics(self._options.metrics_port, lambda: read_metrics(self._site, self._home.status))
        with only_one(self._home.flower / "lock", what="a coordinator"), StopSignals() as stop, metrics, self._supervisor:
            end_leftovers(str(self._home.folder))
            refuse_taken_port(self._options.host, self._options.port)
            store = self._site.store
            run = choose_run(store, self._site.config.name, self._options)
            self._plan(run)
            self._seen = max((sequence for sequence, _, _ in store.events(run)), default=0)
            control = self._start(stop)
            try:
                self._wait_for_institutions(control, stop)
                flower_runs = self._run(control, run, stop)
            finally:
                control.close()
                store.close()
            write_status(self._home.status, "coordinator", "finished", run=run)
            artifact = self._site.run_folder(run) / finished_artifact(store, run)
            return Outcome(run, str(artifact), flower_runs, time.monotonic() - started)

    def _start(self, stop: StopSignals) -> Control:
        make_secret(self._home.secret)
        port = free_port()
        self._ports["superlink"] = port
        self._supervisor.start(superlink(self._home, port))
        self._await(lambda: self._answers(f"https://{LOOPBACK}:{port}/health", 200), "superlink", stop)
        control = Control(f"{LOOPBACK}:{port}", self._home.ca)
        control.stop_unfinished()
        control.register(self._nodes, self._say)
        self._supervisor.start(executor(self._home, port))
        self._frontage.start(port)
        self._ports.update(self._frontage.ports)
        self._await(self._frontage.answers, "door", stop)
        self._say(f"listening on port {self._options.port} for {len(self._nodes)} institutions")
        return control

    def _wait_for_institutions(self, control: Control, stop: StopSignals) -> None:
        deadline, online = time.monotonic() + self._options.wait_s, frozenset[str]()
        while (now := control.online() & frozenset(self._nodes)) != frozenset(self._nodes):
            for name in sorted(now - online):
                self._say(f"{name} is here ({len(now)} of {len(self._nodes)})")
            online = now
            if time.monotonic() >= deadline:
                break
            self._online = tuple(sorted(now))
            self._look("waiting for institutions", stop)
            self._keep_up(control)
        if len(now) < self._least:
            missing = ", ".join(sorted(frozenset(self._nodes) - now))
            raise DeploymentError(
                f"only {len(now)} of the {self._least} institutions needed came within {self._options.wait_s:g} s; missing: {missing}"
            )
        self._say(f"{len(now)} institutions are here")

    def _run(self, control: Control, run: str, stop: StopSignals) -> int:
        self._plan(run)
        for attempt in range(1, MOST_RESTARTS + 1):
            self._running_with = self._site.current_roster()
            number = control.start({COORDINATOR_DIR: str(self._home.folder), RUN: run})
            control.follow_log(number, self._home.log("run"))
            details = self._follow(control, run, number, stop)
            if details is None:
                return attempt
            if self._left():
                self._go_on_without_them(control, run, stop)
                continue
            if details.startswith(_FAILED_INSIDE):
                raise RunError(f"run '{run}' failed: {details.removeprefix(_FAILED_INSIDE)}")
            self._say(f"the run was broken off ({details}); going on from the last closed round")
            if not self._lost:
                self._supervisor.restart("executor")  # and with it a ServerApp that does not know yet that it is lost
        raise RunError(f"run '{run}' was lost {MOST_RESTARTS} times; see the logs, then run again to go on from the last closed round")

    def _left(self) -> frozenset[str]:
        """Who has been revoked since the Flower run began, whose ServerApp still has the roster with them."""
        now = self._running_with.members
        with self._stumbling():
            now = self._site.current_roster().members
        return frozenset(name for name, key in self._running_with.members.items() if now.get(name) != key)

    def _go_on_without_them(self, control: Control, run: str, stop: StopSignals) -> None:
        """Waits until the others have heard of a revocation and pinned the smaller roster, and are here again with it."""
        self._say(f"{', '.join(sorted(self._left()))} was revoked; the others are told, and the run goes on from the last closed round")
        self._supervisor.restart("executor")
        told = time.monotonic() + ROSTER_S
        while time.monotonic() < told:
            self._look("going on without who was revoked", stop, run=run)
            self._keep_up(control)
        self._wait_for_institutions(control, stop)

    def _follow(self, control: Control, run: str, number: int, stop: StopSignals) -> str | None:
        """Follows a Flower run to its end; None if it completed, else Flower's words for why it did not."""
        answered, self._lost = time.monotonic(), ""
        while True:
            try:
                status = control.status(number)
                answered = time.monotonic()
            except DeploymentError:
                if time.monotonic() - answered > UNREACHABLE_S:
                    raise
                status = None
            self._tell_events(run)
            if status is not None and status.finished:
                return None if status.completed else status.details
            try:
                self._keep_up(control)
                if self._left():
                    with self._stumbling():
                        control.stop(number)
                        return "an institution was revoked"
                if self._lost:
                    with self._stumbling():
                        control.stop(number)
                        return self._lost
                self._look("running", stop, run=run)
            except KeyboardInterrupt:
                with contextlib.suppress(DeploymentError):
                    control.stop(number)
                self._say(f"stopped; go on with: fedstill coordinator run {self._home.folder} --resume")
                raise

    def _keep_up(self, control: Control) -> None:
        """Follows the roster, which its operator's commands and the API change, and renews the certificate when it is due."""
        now = time.monotonic()
        if now - self._kept_up < KEEP_UP_S:
            return
        self._kept_up = now
        # While SuperLink is being started again, or somebody is just being revoked; the next look tries anew.
        with self._stumbling():
            self._online = tuple(sorted(control.online() & frozenset(self._nodes)))
        with self._stumbling():
            nodes = read_nodes(self._home.nodes, self._site.current_roster(), 0)
            if nodes != self._nodes:
                self._let_in(control, nodes)
        if now - self._renewed > RENEWAL_S:
            self._renewed = now
            with self._stumbling():
                if self._frontage.renew():
                    self._say("the server's certificate was about to end and is renewed")

    @contextlib.contextmanager
    def _stumbling(self) -> Iterator[None]:
        """Around what is tried again at the next look: what is wrong with it is said, and not the same twice in a row."""
        try:
            yield
        except (FedstillError, OSError) as error:
            said = f"will try again: {error}"
            if said != self._stumbled:
                self._say(said)
            self._stumbled = said

    def _let_in(self, control: Control, nodes: dict[str, bytes]) -> None:
        for name in control.register(nodes, self._say):
            self._say(f"{name} is not let in any more" if name not in nodes else f"{name} has another node key")
        for name in sorted(set(nodes) - set(self._nodes)):
            self._say(f"{name} has joined")
        self._nodes = nodes

    def _plan(self, run: str) -> None:
        """Writes the signed plan of the run, for institutions whose operators must approve it."""
        site = CoordinatorSite(self._home.folder, run=run)
        signed = sign_plan(make_plan(run, site.config, site.roster), site.identity)
        write_atomic(site.run_folder(run) / PLAN_FILE, signed.canonical())
        site.store.close()

    def _tell_events(self, run: str) -> None:
        for sequence, _, event in self._site.store.events(run, self._seen):
            self._seen = sequence
            self._on_event(event)

    def _look(self, state: str, stop: StopSignals, *, run: str = "") -> None:
        """One look at the processes, then a short wait; raises :class:`KeyboardInterrupt` when asked to stop."""
        for ended in self._supervisor.tend():
            self._explain(ended)
        write_status(self._home.status, "coordinator", state, run=run, online=self._online, ports=self._ports)
        if stop.wait(LOOK_S):
            raise KeyboardInterrupt

    def _explain(self, ended: Ended) -> None:
        log = self._home.log(ended.name)
        if ended.failures >= MOST_FAILURES and ended.name not in EXPENDABLE:
            raise DeploymentError(f"{ended.name} ended {ended.failures} times in a row (code {ended.code}); see {log}: {tail(log)}")
        if ended.failures <= MOST_FAILURES:
            self._say(f"{ended.name} ended (code {ended.code}); starting it again")
        if ended.name == "executor":
            # Its ServerApp, in its process group, has ended with it. SuperLink would wait a minute for the next sign of life.
            self._lost = "the executor ended"

    def _await(self, ready: Callable[[], bool], name: str, stop: StopSignals) -> None:
        deadline = time.monotonic() + START_S
        while not ready():
            if time.monotonic() > deadline:
                log = self._home.log(name)
                raise DeploymentError(f"{name} was not ready within {START_S:g} s; see {log}: {tail(log)}")
            self._look(f"starting {name}", stop)

    def _answers(self, url: str, code: int) -> bool:
        try:
            return httpx.get(url, verify=self._trust, timeout=5.0, trust_env=False).status_code == code
        except httpx.TransportError:
            return False


def read_nodes(folder: Path, roster: Roster, least: int) -> dict[str, bytes]:
    """The node keys (OpenSSH lines) of all the roster's members; raises :class:`DeploymentError` if one or a member is missing."""
    nodes = {path.stem: path.read_bytes() for path in sorted(folder.glob("*.pub"))}
    missing = sorted(set(roster.members) - set(nodes))
    if missing:
        raise DeploymentError(f"{folder} has no node key of {', '.join(missing)}: enrol them with 'fedstill coordinator enrol'")
    if len(roster.members) < least:
        raise DeploymentError(f"the roster has {len(roster.members)} institutions and {least} are needed: enrol more")
    return {name: nodes[name] for name in sorted(roster.members)}


def choose_run(store: Store, federation: str, options: ServiceOptions) -> str:
    """The run that is meant: the named one, else the unfinished one, else (not with ``resume``) a new one.

    Raises :class:`RunError` if there is nothing to resume or the named run is finished.
    """
    runs = store.runs()
    if options.run is not None:
        known = store.run_status(options.run)
        if known is not None and known[0] == "finished":
            raise RunError(f"run '{options.run}' is finished (its artifact: {known[1]}); give another --run")
        if options.resume and known is None:
            raise RunError(f"there is no run '{options.run}' to go on with; there are: {', '.join(runs) or 'none'}")
        return options.run
    unfinished = [run for run in runs if (status := store.run_status(run)) is not None and status[0] != "finished"]
    if unfinished:
        return unfinished[-1]
    if options.resume:
        raise RunError("there is no unfinished run to go on with; start a new one without --resume")
    return f"{federation}-{len(runs) + 1}"


def finished_artifact(store: Store, run: str) -> str:
    """A finished run's artifact, within the run's folder; raises :class:`RunError` if the run is not finished after all."""
    status = store.run_status(run)
    if status is None or status[0] != "finished":
        raise RunError(f"Flower says that run '{run}' is over and the store does not: run again with --resume")
    return status[1]


def check_keys(site: CoordinatorSite, home: CoordinatorFolder) -> None:
    """Raises the error of what is wrong with the keys and certificates; a server certificate that has ended is renewed at the start."""
    load_certificate(home.ca)
    load_certificate(home.certificate, ended_too=True)
    read_private(home.server_key)
    _ = site.identity
