"""What a supervised service shows of itself: one small file that says how it is, for ``status`` and for health checks."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pydantic import Field, ValidationError

from shared.errors import DeploymentError
from shared.files import write_atomic
from shared.frozen import Frozen

FRESH_S = 30.0
"""Age in seconds after which a service that has not written is taken for dead; it writes every few seconds."""


class ServiceStatus(Frozen):
    """How a service is. ``online`` are institutions (coordinator) or whether it is connected (institution)."""

    role: str
    state: str
    pid: int
    written: float
    run: str = ""
    online: tuple[str, ...] = ()
    ports: dict[str, int] = Field(default_factory=dict)


def write_status(
    path: Path, role: str, state: str, *, run: str = "", online: tuple[str, ...] = (), ports: dict[str, int] | None = None
) -> None:
    """Says how this process's service is, now."""
    status = ServiceStatus(role=role, state=state, pid=os.getpid(), written=time.time(), run=run, online=online, ports=ports or {})
    write_atomic(path, status.model_dump_json().encode())


def read_status(path: Path, *, now: float | None = None) -> ServiceStatus:
    """How the service is; raises :class:`DeploymentError` if it is not there or has not said anything for a while."""
    try:
        status = ServiceStatus.parse(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DeploymentError(f"no service has run from {path.parent}: start it with 'run'") from error
    age = (now if now is not None else time.time()) - status.written
    if status.state != "finished" and age > FRESH_S:
        raise DeploymentError(f"the service of {path.parent} has said nothing for {age:.0f} s: start it again with 'run'")
    return status
