"""Adding lines to an audit, so that a line that was acknowledged is on the disk and stays there.

A line is written and synced before the head that counts it, and both before :meth:`AuditLog.append` returns; a head that counts none
comes before the first line, so that no line is ever without one. A kill in between leaves one of two things, which the next writer mends:

- bytes without a newline at the end, which no head counts: a line that nobody was told of. They are cut off.
- one whole line more than the head says: the head is moved up to it.

Anything else that does not fit is not a kill's doing: :class:`AuditError`, and nothing is added until an operator has looked. Nor is
anything added after a head or a last line that is not this side's own: who has the disk, but no key, would get a signature over them.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.audit.chain import HEAD_NAME, LOG_NAME, Entry, Head, digest_of, genuine, read_entry, read_head, signed, signed_head, stamp
from shared.errors import AuditError, ResourceError
from shared.files import PRIVATE_MODE, write_atomic

_CHUNK = 4096
Signed = TypeVar("Signed", Entry, Head)


class AuditLog:
    """The audit of one side in ``folder`` (mode 0600). Several processes may add to it: one at a time holds the file."""

    def __init__(self, folder: Path, side: str, key: Ed25519PrivateKey, *, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._log = folder / LOG_NAME
        self._side = side
        self._key = key
        self._public = key.public_key().public_bytes_raw()
        self._clock = clock

    def append(self, kind: str, **fields: Any) -> Entry:
        """Adds a line; when it returns, the line is on the disk.

        Raises :class:`AuditError` if what is there does not fit or ``fields`` are not JSON that reads back, :class:`ResourceError` if the
        disk is full or read-only: nothing is half-written then, and the line is not counted unless the head that counts it is on the
        disk already.
        """
        with _explained(self._folder), self._held() as file:
            head = self._mended(file)
            line, entry = self._signed(Entry(head.count + 1, stamp(self._clock()), self._side, kind, fields, head.digest))
            before = _add(file, line)
            try:
                self._write_head(Head(self._side, entry.n, digest_of(line)))
            except ResourceError:
                self._take_back(file, before, head)
                raise
        return entry

    def _signed(self, entry: Entry) -> tuple[bytes, Entry]:
        """The signed line and the entry as it reads back, before anything of it is in the file."""
        try:
            line = signed(entry, self._key).line()
            return line, read_entry(line)
        except (ValueError, TypeError, RecursionError) as error:
            raise AuditError(
                f"a line of kind {entry.kind} cannot be written into the audit {self._log}: its fields are nested too deep or no JSON"
            ) from error

    @contextmanager
    def _held(self) -> Iterator[IO[bytes]]:
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._log, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_MODE)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file

    def _mended(self, file: IO[bytes]) -> Head:
        """The head as the file has it, after what a kill left is mended."""
        if not file.seek(0, os.SEEK_END) and not (self._folder / HEAD_NAME).exists():
            self._write_head(Head(self._side))
        told, last = self._head(), _last_line(file)
        found = Head(self._side) if not last else Head(self._side, self._own(read_or_refuse(last, self._log)).n, digest_of(last))
        if found.count == told.count + 1 and read_entry(last).previous == told.digest:
            self._write_head(found)
        elif (found.count, found.digest) != (told.count, told.digest):
            raise AuditError(
                f"the audit {self._log} ends with line {found.count}, its head counts {told.count}: lines were cut off or put in; "
                "see 'fedstill audit verify'"
            )
        _cut_unfinished(file)
        return found

    def _head(self) -> Head:
        path = self._folder / HEAD_NAME
        try:
            return self._own(read_head(path.read_bytes()))
        except FileNotFoundError as error:
            raise AuditError(f"{path} is missing: somebody took it away, for the audit has lines; see 'fedstill audit verify'") from error
        except (ValueError, TypeError, RecursionError) as error:
            raise AuditError(f"the audit's head {path} is damaged; see 'fedstill audit verify'") from error

    def _take_back(self, file: IO[bytes], size: int, head: Head) -> None:
        # A head that was renamed before its error counts the line: without it, that would look like an end that was cut off.
        with suppress(OSError, AuditError):
            if self._head().count == head.count:
                file.truncate(size)
                os.fsync(file.fileno())

    def _own(self, found: Signed) -> Signed:
        """What was read, if this side signed it."""
        if found.side != self._side or not genuine(found, self._public):
            what = "head" if isinstance(found, Head) else "last line"
            raise AuditError(f"the {what} of the audit {self._log} does not carry this side's signature; see 'fedstill audit verify'")
        return found

    def _write_head(self, head: Head) -> None:
        write_atomic(self._folder / HEAD_NAME, signed_head(head, self._key).line(), mode=PRIVATE_MODE)


def read_or_refuse(line: bytes, where: Path) -> Entry:
    """The entry of a line; raises :class:`AuditError` that names the file if it is none."""
    try:
        return read_entry(line)
    except (ValueError, TypeError, RecursionError) as error:
        raise AuditError(f"the last line of the audit {where} was changed; see 'fedstill audit verify'") from error


def _last_line(file: IO[bytes]) -> bytes:
    """The last whole line, with its newline; empty if there is none."""
    end = _whole_bytes(file)
    start, content = max(0, end - _CHUNK), b""
    while end:
        file.seek(start)
        content = file.read(end - start)
        before = content.rfind(b"\n", 0, len(content) - 1)
        if before >= 0 or start == 0:
            return content[before + 1 :]
        start = max(0, start - 2 * (end - start))
    return b""


def _whole_bytes(file: IO[bytes]) -> int:
    """How many bytes there are up to the last newline."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - _CHUNK)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _cut_unfinished(file: IO[bytes]) -> None:
    whole = _whole_bytes(file)
    if file.seek(0, os.SEEK_END) > whole:
        file.truncate(whole)


def _add(file: IO[bytes], line: bytes) -> int:
    """Writes the line at the end and syncs it; gives back how long the file was before."""
    before = file.seek(0, os.SEEK_END)
    try:
        view = memoryview(line)
        while view:
            view = view[file.write(view) :]
        os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            file.truncate(before)
        raise
    return before


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResourceError(
            f"the audit in {folder} cannot be written: {error.strerror}; free some space or check its permissions"
        ) from error
