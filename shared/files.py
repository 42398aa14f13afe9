"""Files that are whole or not there: write beside, fsync, rename."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from shared.errors import MissingFileError, ResourceError

PRIVATE_MODE = 0o600
PUBLIC_MODE = 0o644


def write_atomic(path: Path, content: bytes, *, mode: int = PUBLIC_MODE) -> None:
    """Writes ``content`` to ``path`` so that a reader, or a crash, sees the old file or the new one, never a part.

    The folder is made if it is missing. Raises :class:`ResourceError` where the disk is full or read-only.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            os.fchmod(handle, mode)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(beside).replace(path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise ResourceError(f"cannot write {path}: {error.strerror}; free some space or choose another folder") from error


def read_bytes(path: Path, *, what: str = "file") -> bytes:
    """Reads a whole file; raises :class:`MissingFileError` that says what was looked for and where."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise MissingFileError(f"cannot read the {what} {path}: {error.strerror}; check the path and its permissions") from error


def _sync_folder(folder: Path) -> None:
    # The rename itself is durable only once the folder is on disk.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
