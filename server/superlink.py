"""The coordinator's processes as commands: Flower's SuperLink and executor on loopback, and our gateway in front.

Nothing of Flower is imported here. What the flags say, and why, is in ``docs/deploy.md``.
"""

from __future__ import annotations

import sys
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
    """SuperLink on loopback: TLS, node authentication, runs in processes of their own, state in a database."""
    arguments = ("--host", LOOPBACK, "--port", str(port), "--isolation", "process", "--enable-supernode-auth")
    tls = ("--ssl-ca-certfile", str(home.ca), "--ssl-certfile", str(home.certificate), "--ssl-keyfile", str(home.server_key))
    state = ("--database", str(home.flower / "state.db"), "--superexec-auth-secret-file", str(home.secret))
    program = (script("flower-superlink"), *arguments, *tls, *state, "--disable-runtime-dependency-installation")
    return Command("superlink", program, home.log("superlink"), flower_environment(home.flower))


def executor(home: CoordinatorFolder, port: int) -> Command:
    """Flower's executor: starts the installed ServerApp when a run is there."""
    where = ("--runtime-api-address", f"{LOOPBACK}:{port}", "--root-certificates", str(home.ca))
    program = (script("flower-superexec"), *where, "--superexec-auth-secret-file", str(home.secret))
    environment = {**flower_environment(home.flower), "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": str(EXECUTOR_POLL_S)}
    return Command("executor", program, home.log("executor"), environment)


def gateway(home: CoordinatorFolder, superlink_port: int, host: str, port: int) -> Command:
    """Our reverse proxy: the only process that listens beyond loopback."""
    inner = ("--superlink", f"https://{LOOPBACK}:{superlink_port}", "--ca", str(home.ca))
    outer = ("--certificate", str(home.certificate), "--key", str(home.server_key), "--host", host, "--port", str(port))
    program = (sys.executable, "-P", "-m", "server.gateway", *inner, *outer)
    return Command("gateway", program, home.log("gateway"), {"PYTHONUNBUFFERED": "1"})
