"""The coordinator's processes as commands: on loopback Flower's SuperLink and executor, our gateway, API and console; in front our door.

Nothing of Flower is imported here. What the flags say, and why, is in ``docs/deploy.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.hosting import LOOPBACK, flower_environment, script
from shared.processes import Command

EXECUTOR_POLL_S = 1.0
"""Seconds between two questions of the executor for a new run; there is one run, so more would be work for nothing."""


@dataclass(frozen=True)
class CoordinatorFolder:
    """Where things lie under a coordinator's folder."""

    folder: Path

    @property
    def keys(self) -> Path:
        """The coordinator's identity, and the keys and certificates of its CA and its server."""
        return self.folder / "keys"

    @property
    def roster(self) -> Path:
        """Who is a member now."""
        return self.folder / "roster.json"

    @property
    def rosters(self) -> Path:
        """Every roster that there was, each named by its digest: runs that began with it go on from it."""
        return self.folder / "rosters"

    @property
    def enrolment(self) -> Path:
        """Open invitations, certificates in force, and the lock of whoever changes them."""
        return self.folder / "enrolment"

    @property
    def ca(self) -> Path:
        """The CA's certificate."""
        return self.folder / "keys" / "ca.crt"

    @property
    def certificate(self) -> Path:
        """The server's certificate."""
        return self.folder / "keys" / "server.pem"

    @property
    def server_key(self) -> Path:
        """The server certificate's private key."""
        return self.folder / "keys" / "server.key"

    @property
    def nodes(self) -> Path:
        """One file an institution: the public key of its SuperNode."""
        return self.folder / "nodes"

    @property
    def flower(self) -> Path:
        """Everything of Flower's: its database, its home, the executor's secret, our lock."""
        return self.folder / "flower"

    @property
    def secret(self) -> Path:
        """What SuperLink and its executor share (0600)."""
        return self.flower / "superexec.secret"

    @property
    def status(self) -> Path:
        """How the service is (``shared/service.py``)."""
        return self.flower / "status.json"

    def log(self, name: str) -> Path:
        """The log of one process."""
        return self.folder / "logs" / f"{name}.log"


def superlink(home: CoordinatorFolder, port: int) -> Command:
    """SuperLink on loopback: TLS, node authentication, runs in processes of their own, state in a database (``server/flower.py``)."""
    arguments = ("--host", LOOPBACK, "--port", str(port), "--isolation", "process", "--enable-supernode-auth")
    tls = ("--ssl-ca-certfile", str(home.ca), "--ssl-certfile", str(home.certificate), "--ssl-keyfile", str(home.server_key))
    state = ("--database", str(home.flower / "state.db"), "--superexec-auth-secret-file", str(home.secret))
    program = (
        sys.executable,
        "-P",
        "-m",
        "server.flower",
        "flower-superlink",
        *arguments,
        *tls,
        *state,
        "--disable-runtime-dependency-installation",
    )
    return Command("superlink", program, home.log("superlink"), flower_environment(home.flower))


def executor(home: CoordinatorFolder, port: int) -> Command:
    """Flower's executor: starts the installed ServerApp when a run is there."""
    where = ("--runtime-api-address", f"{LOOPBACK}:{port}", "--root-certificates", str(home.ca))
    program = (script("flower-superexec"), *where, "--superexec-auth-secret-file", str(home.secret))
    environment = {**flower_environment(home.flower), "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": str(EXECUTOR_POLL_S)}
    return Command("executor", program, home.log("executor"), environment)


def gateway(home: CoordinatorFolder, port: int, superlink_port: int | None, console_port: int | None = None) -> Command:
    """Our reverse proxy behind the door, on loopback, in front of a SuperLink if there is one, and of the console if it is open."""
    behind = {"--superlink": superlink_port, "--console": console_port}
    inner = (word for name, where in behind.items() if where for word in (name, f"https://{LOOPBACK}:{where}"))
    return _ours("gateway", home, "--ca", str(home.ca), *inner, *_certified(home), "--host", LOOPBACK, "--port", str(port))


def console(home: CoordinatorFolder, port: int) -> Command:
    """The operator's console behind the gateway, on loopback."""
    return _ours("console", home, "--folder", str(home.folder), *_certified(home), "--port", str(port))


def api(home: CoordinatorFolder, port: int, join_port: int) -> Command:
    """Our gRPC API behind the door, on two loopback ports."""
    return _ours("api", home, "--folder", str(home.folder), "--port", str(port), "--join-port", str(join_port))


def door(home: CoordinatorFolder, host: str, port: int, ports: Mapping[str, int]) -> Command:
    """What listens on the public port, alone; ``ports`` are those of ``gateway``, ``api`` and ``join``."""
    inner = ("--web", str(ports["gateway"]), "--api", str(ports["api"]), "--join", str(ports["join"]))
    return _ours("door", home, *_certified(home), "--host", host, "--port", str(port), *inner)


def _certified(home: CoordinatorFolder) -> tuple[str, ...]:
    return ("--certificate", str(home.certificate), "--key", str(home.server_key))


def _ours(name: str, home: CoordinatorFolder, *arguments: str) -> Command:
    return Command(name, (sys.executable, "-P", "-m", f"server.{name}", *arguments), home.log(name), {"PYTHONUNBUFFERED": "1"})
