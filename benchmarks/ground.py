"""A deployed federation on loopback for benchmarks: folders, the real commands as processes, and what each of them takes.

Real TLS, real node authentication, the real Flower. Memory and CPU seconds are read from the system while the processes run,
by what each one is: coordinator, superlink, executor, run (the ServerApp), door, gateway, api, console; institution, supernode, worker.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import psutil

from client.provision import pin
from fedstill.workspace import Workspace
from server.provision import enrol, make_certificates
from shared.enrolment import Connection, make_enrolment
from shared.hosting import LOOPBACK
from shared.identity import load_identity, load_roster

ROOT = Path(__file__).parents[1]
LOOK_S = 0.25
"""Seconds between two looks at the processes."""
END_S = 30.0
"""Longest wait for a service to end when it is asked to."""
COMPONENTS = {
    "flower-superlink": "superlink",
    "flower-superexec": "executor",
    "flwr-serverapp": "run",
    "server.gateway": "gateway",
    "server.api": "api",
    "server.console": "console",
    "server.door": "door",
    "client.flower supernode": "supernode",
    "client.flower worker": "worker",
    "fedstill client run": "institution",
    "fedstill coordinator run": "coordinator",
}
"""What a process's command line has in it, and what it is; the first that fits."""


def make_deployable(workspace: Workspace, port: int) -> None:
    """Adds to a simulation's folders what a deployed federation has: certificates, node registrations, and what institutions pin."""
    make_certificates(workspace.coordinator, "benchmark", [])
    enrolments = []
    for name, home in workspace.institutions.items():
        line = (home / "keys" / "node.pub").read_bytes()
        enrolments.append(make_enrolment(name, load_identity(home / "keys" / "identity.key"), line))
    enrol(workspace.coordinator, enrolments)
    roster = load_roster(workspace.coordinator / "roster.json")
    for home in workspace.institutions.values():
        pin(home, roster, ca=workspace.coordinator / "keys" / "ca.crt", connection=Connection(address=f"{LOOPBACK}:{port}"))


@dataclass
class Taken:
    """What the processes of one component took: the most resident bytes of one of them, how many there were, CPU seconds of all."""

    peak: int = 0
    cpu: dict[int, float] = field(default_factory=dict)

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all processes of the component."""
        return sum(self.cpu.values())


class Census:
    """Looks at the processes below some roots again and again, in a thread of its own."""

    def __init__(self) -> None:
        self.taken: dict[str, Taken] = {}
        self.together = 0
        """The most bytes that all of them had resident at one time; memory that two share counts twice."""
        self.history: list[tuple[float, dict[str, float]]] = []
        """At each look: seconds since 1970, and CPU seconds so far by component."""
        self._roots: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> Census:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def cpu_between(self, begin: float, end: float) -> dict[str, float]:
        """CPU seconds of each component between two times (seconds since 1970), as exact as the looks are often."""
        before = next((found for time, found in reversed(self.history) if time <= begin), {})
        after = next((found for time, found in reversed(self.history) if time <= end), {})
        return {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}

    def watch(self, pid: int) -> None:
        """From now on this process and what it starts is looked at."""
        self._roots.append(pid)

    def _look_on(self) -> None:
        while not self._stop.wait(LOOK_S):
            self.together = max(self.together, sum(self._look(process) for process in self._processes()))
            self.history.append((time.time(), {name: taken.cpu_s for name, taken in self.taken.items()}))

    def _processes(self) -> list[psutil.Process]:
        found: dict[int, psutil.Process] = {}
        for root in self._roots:
            try:
                process = psutil.Process(root)
                found |= {one.pid: one for one in (process, *process.children(recursive=True))}
            except psutil.Error:
                continue
        return list(found.values())

    def _look(self, process: psutil.Process) -> int:
        try:
            name = component(process.cmdline())
            times, resident = process.cpu_times(), process.memory_info().rss
            highest = _highest(process.pid)
        except (psutil.Error, OSError):
            return 0
        taken = self.taken.setdefault(name, Taken())
        taken.peak = max(taken.peak, highest, resident)
        taken.cpu[process.pid] = times.user + times.system
        return int(resident)


def component(words: list[str]) -> str:
    """What a process is, by its command line."""
    line = " ".join(words)
    return next((name for part, name in COMPONENTS.items() if part in line), "other")


def _highest(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    return 0


@contextmanager
def service(
    census: Census, log: Path, program: list[str], environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs ``python -m PROGRAM``, looked at by ``census``, and ends it, as an operator would, when the block ends."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *program],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )
    census.watch(process.pid)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def finish(process: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    """Waits until a service has ended well; raises ``RuntimeError`` with the end of its log if it has not."""
    end = time.monotonic() + seconds
    while process.poll() is None:
        if time.monotonic() > end:
            raise RuntimeError(f"it did not end within {seconds:g} s: {log.read_text()[-2000:]}")
        time.sleep(0.1)
    if process.returncode:
        raise RuntimeError(f"it ended with code {process.returncode}: {log.read_text()[-2000:]}")
