"""A real PostgreSQL server for tests: the installed one, in a folder of its own, on loopback, with a password.

PostgreSQL refuses to run as root; then it runs as the user that its package has made.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from shared.hosting import LOOPBACK
from shared.processes import free_port

USER, PASSWORD = "fedstill", "an-odd%secret@here"
STARTS_S = 30.0
"""Longest wait for the server to take connections."""
WHERE = "/usr/lib/postgresql"


@dataclass(frozen=True)
class Server:
    """A server that runs, and one of its databases."""

    port: int
    database: str = "postgres"
    password: str = PASSWORD

    @property
    def url(self) -> str:
        """As an operator writes it."""
        secret = self.password.replace("%", "%25").replace("@", "%40")
        return f"postgresql://{USER}:{secret}@{LOOPBACK}:{self.port}/{self.database}"

    def fresh(self, database: str) -> Server:
        """A new, empty database."""
        engine = create_engine(self.url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {database}"))
        engine.dispose()
        return replace(self, database=database)


def programs() -> Path | None:
    """The folder of the newest installed server's programs; ``None`` if there is none."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).parent] if on_path else []
    found += sorted(Path(WHERE).glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    return next((folder for folder in found if (folder / "postgres").exists() and (folder / "initdb").exists()), None)


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """Makes a server from the programs in ``folder``, starts it and, when the block ends, ends and removes it."""
    home = Path(tempfile.mkdtemp(prefix="fedstill-postgres-"))
    owner = _owner()
    try:
        secret = home / "password"
        secret.write_text(PASSWORD)
        for path in (home, secret):
            os.chown(path, owner, -1)
        other = owner if owner != os.getuid() else None
        made = ("-D", str(home / "data"), "-U", USER, "--auth", "scram-sha-256", "--pwfile", str(secret), "-E", "UTF8", "--no-sync")
        subprocess.run([folder / "initdb", *made], check=True, stdout=subprocess.DEVNULL, cwd="/", timeout=60, user=other)
        server = Server(free_port())
        settings = (f"listen_addresses={LOOPBACK}", f"port={server.port}", f"unix_socket_directories={home}", "fsync=off")
        words = [word for setting in settings for word in ("-c", setting)]
        with (home / "log").open("wb") as log:
            process = subprocess.Popen([folder / "postgres", "-D", home / "data", *words], stdout=log, stderr=log, cwd="/", user=other)
        try:
            _wait(server, process, home / "log")
            yield server
        finally:
            # At once: what a clean end would write is thrown away anyway.
            process.send_signal(signal.SIGQUIT)
            process.wait(30)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _owner() -> int:
    return os.getuid() or pwd.getpwnam("postgres").pw_uid


def _wait(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    engine = create_engine(server.url.replace("postgresql:", "postgresql+psycopg:"))
    end = time.monotonic() + STARTS_S
    while True:
        try:
            engine.connect().close()
            engine.dispose()
            return
        except OperationalError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
