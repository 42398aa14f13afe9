"""A deployed federation on loopback for tests: folders as institutions have them, and the real commands as processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from client.provision import pin
from fedstill.workspace import Workspace
from server.provision import enrol, make_certificates
from shared.enrolment import Connection, make_enrolment
from shared.identity import load_identity, load_roster

BOUND_S = 120.0
"""Longest wait for anything in these tests."""


def make_deployable(workspace: Workspace, port: int) -> None:
    """Adds what a simulation does not need: certificates, node registrations, and what institutions pin."""
    make_certificates(workspace.coordinator, "trial", [])
    for name, home in workspace.institutions.items():
        line = (home / "keys" / "node.pub").read_bytes()
        enrol(workspace.coordinator, [make_enrolment(name, load_identity(home / "keys" / "identity.key"), line)])
    roster = load_roster(workspace.coordinator / "roster.json")
    for home in workspace.institutions.values():
        ca = workspace.coordinator / "keys" / "ca.crt"
        pin(home, roster, ca=ca, connection=Connection(address=f"127.0.0.1:{port}"))


def wait_for(condition: Callable[[], bool], what: str, seconds: float = BOUND_S) -> None:
    """Waits until ``condition`` holds; fails naming ``what`` did not happen."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.1)


@dataclass
class Running:
    """A ``fedstill`` command that runs; ``log`` has its stderr, ``out`` its stdout."""

    process: subprocess.Popen[bytes]
    log: Path
    out: Path

    def wait(self, seconds: float = BOUND_S) -> int:
        """Its exit code, when it has ended by itself."""
        return self.process.wait(seconds)

    def said(self, words: str) -> bool:
        """Whether it has said ``words`` to its operator."""
        return words in self.log.read_text()

    def result(self) -> Mapping[str, object]:
        """The JSON object on its stdout."""
        found: Mapping[str, object] = json.loads(self.out.read_text())
        return found


@contextmanager
def command(folder: Path, *arguments: str, environment: Mapping[str, str] = MappingProxyType({})) -> Iterator[Running]:
    """Runs ``fedstill ARGUMENTS`` and ends it, as an operator would, when the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = "-".join(word for word in arguments[:2]) + f"-{len(list(folder.iterdir()))}"
    log, out = folder / f"{stem}.log", folder / f"{stem}.out"
    with log.open("wb") as stderr, out.open("wb") as stdout:
        process = subprocess.Popen(
            [sys.executable, "-m", "fedstill", *arguments],
            stdout=stdout,
            stderr=stderr,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "250", **environment},
        )
        try:
            yield Running(process, log, out)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
