"""Whether an audit is whole, and if not, which line is the first that does not fit."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.audit.chain import BEFORE_THE_FIRST, HEAD_NAME, LOG_NAME, Entry, Head, digest_of, genuine, read_entry, read_head
from shared.errors import AuditError, MissingFileError, ResourceError


@dataclass(frozen=True)
class Trail:
    """A verified audit. ``unfinished`` are bytes of a line that a kill cut short, which nobody was told of; usually 0."""

    side: str
    entries: tuple[Entry, ...]
    digest: str
    unfinished: int = 0


class _Fault(AuditError):
    """An :class:`AuditError` that knows its line."""

    def __init__(self, log: Path, line: int, what: str) -> None:
        super().__init__(f"the audit {log} does not fit at line {line}: {what}")
        self.line = line


def verify(folder: Path, key: bytes) -> Trail:
    """The audit in ``folder``, signed by the raw Ed25519 public ``key``.

    Raises :class:`AuditError` that names the first line that does not fit, :class:`MissingFileError` if there is no audit,
    :class:`ResourceError` if it cannot be read.
    """
    content, head_content = _read(folder)
    log, lines = folder / LOG_NAME, content.splitlines(keepends=True)
    unfinished = len(lines.pop()) if lines and not lines[-1].endswith(b"\n") else 0
    head = _head(folder / HEAD_NAME, head_content, key) if head_content else Head("")
    entries = tuple(_entries(log, lines, head.side, key))
    _check_end(log, lines, head, unfinished)
    return Trail(head.side, entries, digest_of(lines[-1]) if lines else BEFORE_THE_FIRST, unfinished)


def side_of(folder: Path) -> str:
    """Whose audit the one in ``folder`` says it is: not proven before :func:`verify`. Raises as :func:`verify`."""
    _, content = _read(folder)
    if not content:
        raise _none(folder)
    return _parsed(folder / HEAD_NAME, content).side


def _read(folder: Path) -> tuple[bytes, bytes]:
    """The log and the head as they are while nobody adds a line; both empty before the first."""
    log, head = folder / LOG_NAME, folder / HEAD_NAME
    try:
        with log.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            content = file.read()
            return content, head.read_bytes() if content or head.exists() else b""
    except (FileNotFoundError, NotADirectoryError) as error:
        if not log.exists() and not head.exists():
            raise _none(folder) from error
        raise AuditError(f"{error.filename} is missing: somebody took it away, for the other file of the audit is there") from error
    except OSError as error:
        raise ResourceError(f"the audit in {folder} cannot be read: {error.strerror}; check its permissions and its disk") from error


def _none(folder: Path) -> MissingFileError:
    return MissingFileError(f"there is no audit in {folder}; name the folder of a coordinator or an institution")


def _head(path: Path, content: bytes, key: bytes) -> Head:
    head = _parsed(path, content)
    if not genuine(head, key):
        raise AuditError(f"the audit's head {path} does not carry its side's signature: it was changed, or the key is another one's")
    return head


def _parsed(path: Path, content: bytes) -> Head:
    try:
        return read_head(content)
    except (ValueError, TypeError, RecursionError) as error:
        raise AuditError(f"the audit's head {path} was changed") from error


def _entries(log: Path, lines: list[bytes], side: str, key: bytes) -> Iterator[Entry]:
    previous = BEFORE_THE_FIRST
    for number, line in enumerate(lines, start=1):
        entry = _genuine_entry(log, number, line, side, key)
        if entry.n != number:
            raise _Fault(log, number, _out_of_order(entry.n, number, lines[number:]))
        if entry.previous != previous:
            raise _Fault(log, number, f"it does not follow line {number - 1}; one of the two is from another audit of this side")
        previous = digest_of(line)
        yield entry


def _genuine_entry(log: Path, number: int, line: bytes, side: str, key: bytes) -> Entry:
    try:
        entry = read_entry(line)
    except (ValueError, TypeError, RecursionError) as error:
        raise _Fault(log, number, "it was changed") from error
    if entry.side != side or not genuine(entry, key):
        raise _Fault(log, number, "it was changed or put in: it does not carry its side's signature")
    return entry


def _out_of_order(found: int, expected: int, later: list[bytes]) -> str:
    if found < expected:
        return f"line {found} stands here once more"
    if any(_number(line) == expected for line in later):
        return f"line {found} stands here, line {expected} further down: they were moved"
    return f"line {expected} is missing" if found == expected + 1 else f"lines {expected} to {found - 1} are missing"


def _number(line: bytes) -> int:
    try:
        return read_entry(line).n
    except (ValueError, TypeError, RecursionError):
        return 0


def _check_end(log: Path, lines: list[bytes], head: Head, unfinished: int) -> None:
    count = len(lines)
    if count < head.count:
        part = " (of the next a part is left)" if unfinished else ""
        raise _Fault(log, count + 1, f"the end was cut off: there are {count} lines, the head counts {head.count}{part}")
    if count > head.count + 1:
        raise _Fault(log, head.count + 2, f"the head counts {head.count} lines: an older head was put in place of the newest")
    if head.count and digest_of(lines[head.count - 1]) != head.digest:
        raise _Fault(log, head.count, "the head has another digest of it: one of the two is from another audit of this side")
