"""What has come to an audit since one last looked: for figures, not for proof (that is ``verify.py``)."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from shared.audit.chain import LOG_NAME, Entry, read_entry
from shared.errors import ResourceError


class Tail:
    """Follows the audit in ``folder``. Lines that are none are passed over; another file, or one that shrank, is read from its start."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / LOG_NAME
        self._file: tuple[int, int] | None = None
        self._offset = 0

    def look(self) -> tuple[bool, tuple[Entry, ...]]:
        """Whether it had to begin again (what was counted before is void then), and the entries that are new.

        Raises :class:`ResourceError` where the audit is there and cannot be read; the next look then goes on as if this had not been.
        """
        try:
            file, offset, content = self._read()
        except (FileNotFoundError, NotADirectoryError):
            file, offset, content = None, 0, b""
        except OSError as error:
            raise ResourceError(f"the audit {self._log} cannot be read: {error.strerror}; check its permissions and its disk") from error
        again = self._offset > 0 and offset == 0
        whole = content[: content.rfind(b"\n") + 1]
        self._file, self._offset = file, offset + len(whole)
        return again, tuple(entry for line in whole.splitlines(keepends=True) if (entry := _entry(line)) is not None)

    def _read(self) -> tuple[tuple[int, int], int, bytes]:
        """Which file it is, where the new part begins, and that part."""
        with self._log.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)  # a line whose head cannot be written is taken back by who holds the lock
            found = os.fstat(file.fileno())
            same = self._file == (found.st_dev, found.st_ino) and found.st_size >= self._offset
            offset = file.seek(self._offset if same else 0)
            return (found.st_dev, found.st_ino), offset, file.read()


def _entry(line: bytes) -> Entry | None:
    try:
        return read_entry(line)
    except (ValueError, TypeError, RecursionError):
        return None
