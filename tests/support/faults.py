"""A small deployed federation to break: real processes and real TLS, works without torch, and a look at where a run is.

What is broken are processes that a test has started, found among their descendants by what they run.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil
import tomli_w

from fedstill.workspace import Workspace
from shared.audit.compare import compare
from shared.audit.keys import open_audit
from shared.files import write_atomic
from shared.identity import make_node_key
from shared.processes import free_port
from tests.support.deployed import Running, command, make_deployable, wait_for
from tests.support.small import SmallFederation, make_federation

ROOT = Path(__file__).parents[2]
OUT_VARIABLE = "FEDSTILL_FAULTS_OUT"
"""Names a file that gets a JSON line for each cell, or each hour of blows, that was played."""
ROUNDS = 2
INSTITUTIONS = 3
SECONDS = {"ash": 0.6, "birch": 1.8, "cedar": 1.8}
"""How long a training round takes each: long enough to be met in the middle of it."""
VICTIM = "ash"
BOUND_S = 240.0
"""Longest wait for a run that was broken: a killed SuperNode is refused by SuperLink for a minute."""
MOST_STARTS = 6

Component = Literal["coordinator", "superlink", "executor", "supernode", "worker", "proxy"]
Action = Literal["kill", "hang", "restart"]
Point = Literal["before-training", "while-training", "after-answer", "while-unmasking", "between-rounds"]
PROGRAMS: dict[Component, str] = {
    "superlink": "flower-superlink",
    "executor": "flower-superexec",
    "proxy": "server.gateway",
    "supernode": "supernode --alive",
    "worker": "client.flower worker",
}
"""What a component's command line has in it; the coordinator's is the test's own child."""


@dataclass
class Ground:
    """A federation's folders and the services that run over them."""

    federation: SmallFederation
    port: int
    logs: Path
    stack: ExitStack
    services: dict[str, Running] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Of every process: the shim before the code that is tested."""
        return {
            "PYTHONPATH": os.pathsep.join((str(ROOT / "tests" / "support" / "shim"), str(ROOT))),
            "FEDSTILL_TEST_SECONDS": json.dumps(SECONDS),
        }

    def set_deadline(self, seconds: float) -> None:
        """How long the next run's rounds wait for institutions."""
        path = self.federation.coordinator / "federation.toml"
        table = tomllib.loads(path.read_text())
        table["aggregation"]["deadline_s"] = seconds
        write_atomic(path, tomli_w.dumps(table).encode())

    @contextmanager
    def coordinator(self, run: str, *options: str) -> Iterator[Running]:
        """The coordinator's service for one run."""
        words = ("coordinator", "run", str(self.federation.coordinator), "--run", run, "--port", str(self.port), "--host", "127.0.0.1")
        with command(self.logs, *words, "--wait", "200", "--json", *options, environment=self.environment) as running:
            yield running

    def begin(self, name: str, *options: str) -> None:
        """Starts an institution's service, which stays until the test's end."""
        home = self.federation.institutions[name]
        started = command(self.logs, "client", "run", str(home), *options, environment=self.environment)
        self.services[name] = self.stack.enter_context(started)

    def events(self, run: str) -> list[dict[str, Any]]:
        """The run's events so far."""
        rows = self._rows("SELECT event FROM events WHERE run = ? ORDER BY sequence", run)
        return [json.loads(row[0]) for row in rows]

    def unmasking(self, run: str, number: int) -> bool:
        """Whether the requests to unmask a round are written down."""
        return bool(self._rows("SELECT 1 FROM requests WHERE run = ? AND round = ? AND stage = 'unmask'", run, number))

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        path = self.federation.coordinator / "store.sqlite"
        if not path.exists():
            return []
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
            try:
                return connection.execute(query, values).fetchall()
            except sqlite3.OperationalError:
                return []

    def audit(self, name: str, run: str) -> list[dict[str, Any]]:
        """What an institution's audit has of a run, unverified: it is being written."""
        log = self.federation.institutions[name] / "audit" / "log.jsonl"
        lines = log.read_bytes().split(b"\n")[:-1] if log.exists() else []
        return [entry for line in lines if (entry := json.loads(line))["fields"].get("run") == run]


@contextmanager
def ground(folder: Path, *, address: Callable[[int], int] = lambda port: port, **settings: Any) -> Iterator[Ground]:
    """Folders of a small federation, deployable; ``address`` puts something between institutions and coordinator's port."""
    federation = make_federation(folder, INSTITUTIONS, rounds=ROUNDS, aggregation={"most_void_rounds": 20, **settings})
    for home in federation.institutions.values():
        make_node_key(home / "keys" / "node")
    port = free_port()
    make_deployable(Workspace(folder, federation.coordinator, federation.institutions), address(port))
    with ExitStack() as stack:
        yield Ground(federation, port, folder / "said", stack)


def find(root: Running, component: Component) -> list[psutil.Process]:
    """The processes of a component below a service that the test has started."""
    try:
        service = psutil.Process(root.process.pid)
        if component == "coordinator":
            return [service]
        return [child for child in service.children(recursive=True) if PROGRAMS[component] in _words(child)]
    except psutil.NoSuchProcess:
        return []


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def reached(here: Ground, run: str, point: Point) -> bool:
    """Whether a run has come to a point of its first training round (``before-training``: to its first round)."""
    if point == "before-training":
        return any(event["kind"] == "epoch-opened" for event in here.events(run))
    if point == "while-training":
        return any(entry["kind"] == "agreed" and entry["fields"]["work"] == "train" for entry in here.audit(VICTIM, run))
    if point == "after-answer":
        return any(entry["kind"] == "answered" and entry["fields"].get("work") == "train" for entry in here.audit(VICTIM, run))
    training = [event["number"] for event in here.events(run) if event["kind"] == "round-started" and event["training_round"]]
    if point == "while-unmasking":
        return bool(training) and here.unmasking(run, training[0])
    return any(event["kind"] == "round-closed" and event["phase"] == "train" for event in here.events(run))


class EndedEarlier(Exception):
    """A run ended, for want of institutions, before it had come to where it was to be broken."""


def wait_until(here: Ground, run: str, point: Point, running: Running) -> None:
    """Waits, looking often, until a run has come to ``point``."""
    end = time.monotonic() + BOUND_S
    while not reached(here, run, point):
        if running.process.poll() is not None:
            raise EndedEarlier(f"the run ended before it came to {point}: {running.log.read_text()}")
        assert time.monotonic() < end, f"the run did not come to {point}: {running.log.read_text()}"
        time.sleep(0.02)


def strike(here: Ground, running: Running, component: Component, action: Action, hang_s: float) -> None:
    """Kills, stops for ``hang_s`` seconds, or ends a component; its supervisor, if it has one, starts it again."""
    root = here.services[VICTIM] if component in ("supernode", "worker") else running
    wait_for(lambda: bool(find(root, component)), f"a running {component}", 30)
    blow(find(root, component), action, hang_s)


def blow(found: Sequence[psutil.Process], action: Action, hang_s: float) -> None:
    """Kills, stops for ``hang_s`` seconds, or ends processes; those that have ended meanwhile are left."""
    numbers = {"kill": signal.SIGKILL, "hang": signal.SIGSTOP, "restart": signal.SIGTERM}
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(numbers[action])
    if action == "hang":
        time.sleep(hang_s)
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


@dataclass(frozen=True)
class Outcome:
    """How a broken run ended: ``starts`` of the coordinator's service, void rounds, and institutions missing in closed rounds."""

    starts: int
    flower_runs: int
    void: int
    missing: int
    seconds: float


def play(here: Ground, run: str, blow: Callable[[Running], None], *options: str) -> Outcome:
    """Plays a run, with ``blow`` in the middle of it, and starts it again with ``--resume`` for as long as it ends without its artifact."""
    began, due = time.monotonic(), True
    for start in range(MOST_STARTS):
        with here.coordinator(run, *options, *(("--resume",) if here.events(run) else ())) as running:
            if due:
                with contextlib.suppress(EndedEarlier):
                    blow(running)
                    due = False
            code = running.wait(BOUND_S)
            said = running.log.read_text()
        if code == 0:
            assert not due, f"the run ended whole before it was broken: {said}"
            result = running.result()
            events = here.events(run)
            closed = [event for event in events if event["kind"] == "round-closed"]
            void = sum(event["kind"] == "round-void" for event in events)
            missing = sum(INSTITUTIONS - len(event["survivors"]) for event in closed)
            return Outcome(start + 1, int(str(result["flower_runs"])), void, missing, time.monotonic() - began)
    raise AssertionError(f"the run did not end in {MOST_STARTS} starts: {said}")


def check_whole(here: Ground, run: str) -> None:
    """Nothing is half-written, no answered update was computed again, and the audits of all sides are whole and fit."""
    folder = here.federation.coordinator
    with contextlib.closing(sqlite3.connect(folder / "store.sqlite")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    ours = open_audit(folder)
    for name, home in here.federation.institutions.items():
        assert compare(ours, open_audit(home)) == ()
        answered: set[int] = set()
        for entry in here.audit(name, run):
            number = entry["fields"].get("round", 0)
            assert entry["kind"] != "agreed" or number not in answered, f"{name} worked on round {number} again after it had answered"
            if entry["kind"] == "answered" and entry["fields"]["stage"] == "train":
                assert number not in answered
                answered.add(number)


def note(table: dict[str, object]) -> None:
    """Keeps an outcome for ``docs/results/faults.md``."""
    path = os.environ.get(OUT_VARIABLE)
    if path:
        with Path(path).open("a") as file:
            file.write(json.dumps(table) + "\n")
