"""A teacher's folder that is whole or not there, private to the owner."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import ResourceError
from shared.files import PRIVATE_MODE


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A new folder beside ``target`` to write into; it takes the target's place once all of it is on disk, or leaves no trace.

    What was at ``target`` is removed. Raises :class:`ResourceError` where the disk says no.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
        try:
            yield beside
            for path in [*beside.rglob("*"), beside]:
                _settle(path)
            _take_place(beside, target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise ResourceError(f"cannot write the teacher to {target}: {error.strerror}; free some space or choose another folder") from error


def _settle(path: Path) -> None:
    if path.is_file():
        path.chmod(PRIVATE_MODE)
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _take_place(beside: Path, target: Path) -> None:
    old = None
    if target.exists():
        old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.old."))
        # A folder can only be renamed onto an empty one.
        target.replace(old)
    beside.replace(target)
    _settle(target.parent)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
