"""The newest lines, without a look at all the others: an audit grows, and not every question is worth reading it whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from shared.audit.chain import LOG_NAME, Entry, genuine, read_entry
from shared.errors import AuditError

_CHUNK = 64 * 1024


def last_of(folder: Path, kind: str, key: bytes) -> Entry | None:
    """The newest whole line of ``kind`` in the audit in ``folder``; ``None`` if there is none.

    Only that line is held against the raw Ed25519 public ``key``: whether all of them fit is :func:`shared.audit.verify.verify`'s
    affair, and whether the end does is looked at by whoever adds a line. Raises :class:`AuditError` if the line was changed.
    """
    log, mark = folder / LOG_NAME, f'"kind":"{kind}"'.encode()
    if not log.exists():
        return None
    with log.open("rb") as file:
        for line in backwards(file):
            if mark in line and (found := _read(line, log, key)).kind == kind:
                return found
    return None


def _read(line: bytes, log: Path, key: bytes) -> Entry:
    try:
        entry = read_entry(line)
    except (ValueError, TypeError, RecursionError):
        entry = None
    if entry is None or not genuine(entry, key):
        raise AuditError(f"a line of the audit {log} was changed; see 'fedstill audit verify'")
    return entry


def backwards(file: IO[bytes]) -> Iterator[bytes]:
    """The whole lines of a file, each with its newline, the last one first."""
    start, pieces, unfinished = file.seek(0, os.SEEK_END), list[bytes](), True
    while start:
        size = min(_CHUNK, start)
        start -= size
        file.seek(start)
        first, *others = file.read(size).split(b"\n")
        for piece in reversed(others):
            pieces.append(piece)
            if not unfinished:  # what stands behind the last newline is no line yet
                yield b"".join(reversed(pieces)) + b"\n"
            pieces, unfinished = [], False
        pieces.append(first)
    if not unfinished:
        yield b"".join(reversed(pieces)) + b"\n"
