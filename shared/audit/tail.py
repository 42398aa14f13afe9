"""What has come to an audit since one last looked: for figures, not for proof (that is ``verify.py``)."""

from __future__ import annotations

from pathlib import Path

from shared.audit.chain import LOG_NAME, Entry, read_entry


class Tail:
    """Follows the audit in ``folder``. Lines that are none are passed over; a file that has shrunk is read from the start again."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / LOG_NAME
        self._offset = 0

    def look(self) -> tuple[bool, tuple[Entry, ...]]:
        """Whether it had to begin again (what was counted before is void then), and the entries that are new."""
        try:
            size = self._log.stat().st_size
        except OSError:
            size = 0
        again = size < self._offset
        self._offset = 0 if again else self._offset
        return again, self._new() if size else ()

    def _new(self) -> tuple[Entry, ...]:
        with self._log.open("rb") as file:
            file.seek(self._offset)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        return tuple(entry for line in whole.splitlines(keepends=True) if (entry := _entry(line)) is not None)


def _entry(line: bytes) -> Entry | None:
    try:
        return read_entry(line)
    except (ValueError, TypeError, RecursionError):
        return None
