"""What every process of Flower's is started with, at the coordinator and at an institution alike."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from shared.errors import DeploymentError
from shared.files import PRIVATE_MODE, write_atomic

LOOPBACK = "127.0.0.1"
SECRET_BYTES = 32
"""Length of the secret that a Flower service and its executor or worker share."""


def make_secret(path: Path) -> None:
    """Writes a fresh secret, readable by its owner only."""
    write_atomic(path, secrets.token_bytes(SECRET_BYTES), mode=PRIVATE_MODE)


def flower_environment(home: Path) -> Mapping[str, str]:
    """No telemetry, no update check, no packages installed at run time, no home but ours, no proxy on loopback."""
    here = str(Path(sys.executable).parent)
    return {
        "FLWR_HOME": str(home / "home"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY"), LOOPBACK, "localhost"))),
        "PATH": os.pathsep.join(filter(None, (here, os.environ.get("PATH")))),
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
    }


def script(name: str) -> str:
    """The path of an installed command beside this Python; raises :class:`DeploymentError` if it is not installed."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise DeploymentError(f"the command {name} is not installed: install fedstill with its dependencies")
    return found
