"""One coordinator a run: a lock on the run's folder that the system takes back when its holder dies."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import ResourceError, RunError


@contextmanager
def run_lock(folder: Path, run: str) -> Iterator[None]:
    """Holds the run's lock inside the ``with``; raises :class:`RunError` if another process holds it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a")
    except OSError as error:
        raise ResourceError(f"cannot use {folder}: {error.strerror}; check the disk and its permissions") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunError(f"run '{run}' is being run by another process; stop that one first") from error
        yield
