"""The database behind the store: SQLite in the coordinator's folder, or PostgreSQL by URL. No message shows a password.

A URL holds a password, so it is not in federation.toml, which goes into every run's record, nor on a command line, which every
user of the machine can read: it stands in a file of its own that only the coordinator's user may read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.exc import SQLAlchemyError

from shared.errors import ConfigError, ResourceError
from shared.identity import read_private

URL_FILE = "store.url"
"""In the coordinator's folder (0600): the database's URL in one line; without it the store is :data:`SQLITE_FILE`."""
SQLITE_FILE = "store.sqlite"
BUSY_TIMEOUT_S = 30
"""Longest wait for another process that writes to the same SQLite file."""
CONNECT_TIMEOUT_S = 10
"""Longest wait for a server to take a connection."""
_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
_MAKING = 0x6665647374696C6C
"""The number of the advisory lock under which the tables are made: "fedstill" in ASCII."""
_FORM = "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with %40 for an @ in a password, %2F for a /, %3A for a : and %3F for a ?"


def named_url(folder: Path) -> str | None:
    """The URL in a coordinator's folder; ``None`` if there is no such file.

    Raises :class:`IdentityError` if others can read it, and :class:`ConfigError` if it is no single line.
    """
    path = folder / URL_FILE
    if not path.exists():
        return None
    lines = read_private(path).decode(errors="replace").split("\n")
    words = [line.strip() for line in lines if line.strip()]
    if len(words) != 1:
        raise ConfigError(f"{path} has {len(words)} lines and should have one: {_FORM}")
    return words[0]


def store_url(folder: Path) -> str:
    """The URL of the store of a coordinator's folder. Raises as :func:`named_url`."""
    return named_url(folder) or f"sqlite:///{folder.absolute() / SQLITE_FILE}"


def open_engine(url: str) -> Engine:
    """An engine for the URL, which is not connected yet. Raises :class:`ResourceError`, without the URL's password."""
    parsed = _parsed(url)
    try:
        engine = create_engine(parsed, **_options(parsed))
    except (SQLAlchemyError, ImportError, TypeError, ValueError):
        kind = parsed.drivername
        cure = "install fedstill[postgres]" if kind.startswith("postgresql") else "use sqlite:/// or postgresql://"
        raise ResourceError(f"the store cannot use a database of kind {kind}: it or its driver is not there; {cure}") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _durable)
    return engine


def shown(engine: Engine) -> str:
    """Where the engine's database is: its URL without password and options."""
    return engine.url.set(query={}).render_as_string(hide_password=True)


def lock_tables(connection: Connection) -> None:
    """Lets nobody else make tables in the database until the transaction's end."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(select(func.pg_advisory_xact_lock(_MAKING)))


@contextmanager
def explained(engine: Engine) -> Iterator[None]:
    """Turns a database's error into one sentence: :class:`ResourceError`."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or type(error).__name__).strip().split("\n")[0]
        local = engine.dialect.name == "sqlite"
        cure = "check the disk and its permissions" if local else f"check the server, and user and password in {URL_FILE}"
        raise ResourceError(f"the coordinator's store {shown(engine)} failed: {cause}; {cure}") from error


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):
        raise ResourceError(f"the URL of the coordinator's store cannot be read: {_FORM}") from None
    # A password with a bare @, / or ? is cut there, and its rest is taken for a place: it would be in every message about that place.
    places = (parsed.host, parsed.database if parsed.host else None, *parsed.query, *map(str, parsed.query.values()))
    if any("@" in place for place in places if place):
        raise ResourceError(f"the URL of the coordinator's store has an @ where no password ends: {_FORM}")
    return parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))


def _options(url: URL) -> dict[str, Any]:
    if not url.drivername.startswith("postgresql"):
        return {}
    # A server that was restarted between two transactions costs one more connection, not the run.
    return {"pool_pre_ping": True, "connect_args": {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "fedstill"}}


def _durable(connection: Any, _record: Any) -> None:
    # A closed round must survive a power cut: FULL waits for the disk at every commit; WAL lets a console read meanwhile.
    for pragma in (f"busy_timeout={BUSY_TIMEOUT_S * 1000}", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
