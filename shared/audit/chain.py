"""One line of an audit, and the head that says how many there are. Pure: bytes in, bytes out.

A line is canonical JSON, ASCII, with a newline at its end: ``n`` from 1, ``time`` (UTC), ``side``, ``kind``, ``fields``, the SHA-256
of the line before it (``previous``; zeros before the first), and the side's Ed25519 ``signature`` over all the others. So nobody
without the key changes, moves or puts in a line, and a line that is taken out is missing before the next. What a chain cannot
show is that its end was cut off: the head, signed too, has the number of lines and the last one's digest.

What this does not withstand is the side's own key: who has it can write another audit. Then the other side's does not fit
(``compare.py``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.secagg.signing import pack

LOG_NAME = "log.jsonl"
HEAD_NAME = "head.json"
BEFORE_THE_FIRST = "0" * 64
"""``previous`` of the first line, and a head's ``digest`` while there is none."""
COORDINATOR = "coordinator"
"""The coordinator's side; an institution's is :func:`institution_side`."""
_KEYS = {"n", "time", "side", "kind", "fields", "previous", "signature"}


@dataclass(frozen=True)
class Entry:
    """One line. ``fields`` hold names, sizes, digests, counts and sentences: never content of a record, never a secret."""

    n: int
    time: str
    side: str
    kind: str
    fields: Mapping[str, Any]
    previous: str
    signature: str = ""

    def line(self) -> bytes:
        """The line as it stands in the file, with its newline."""
        return _canonical(vars(self)) + b"\n"


@dataclass(frozen=True)
class Head:
    """How many lines there are, and the SHA-256 of the last."""

    side: str
    count: int = 0
    digest: str = BEFORE_THE_FIRST
    signature: str = ""

    def line(self) -> bytes:
        """The head as it stands in its file."""
        return _canonical(vars(self)) + b"\n"


def institution_side(name: str) -> str:
    """The side of the institution ``name``; never :data:`COORDINATOR`, whatever the name is."""
    return f"institution/{name}"


def signed(entry: Entry, key: Ed25519PrivateKey) -> Entry:
    """The entry with its signature."""
    return Entry(**{**vars(entry), "signature": key.sign(_entry_bytes(entry)).hex()})


def signed_head(head: Head, key: Ed25519PrivateKey) -> Head:
    """The head with its signature."""
    return Head(head.side, head.count, head.digest, key.sign(_head_bytes(head)).hex())


def read_entry(line: bytes) -> Entry:
    """The entry of a line (with its newline). Raises :class:`ValueError` for anything that is not written exactly as :meth:`Entry.line`."""
    table = json.loads(line)
    if not isinstance(table, dict) or set(table) != _KEYS:
        raise ValueError("not the keys of an audit line")
    entry = Entry(**table)
    texts = (entry.time, entry.side, entry.kind, entry.previous, entry.signature)
    if entry.line() != line or type(entry.n) is not int or not isinstance(entry.fields, dict) or not _all_texts(texts):
        raise ValueError("not an audit line as it is written")
    return entry


def read_head(content: bytes) -> Head:
    """The head in its file; raises :class:`ValueError` for anything else."""
    table = json.loads(content)
    if not isinstance(table, dict) or set(table) != {"side", "count", "digest", "signature"}:
        raise ValueError("not the keys of an audit's head")
    head = Head(**table)
    if head.line() != content or type(head.count) is not int or not _all_texts((head.side, head.digest, head.signature)):
        raise ValueError("not an audit's head as it is written")
    return head


def genuine(entry: Entry | Head, key: bytes) -> bool:
    """Whether an entry or a head carries the signature of the raw public ``key``."""
    content = _entry_bytes(entry) if isinstance(entry, Entry) else _head_bytes(entry)
    try:
        signature = bytes.fromhex(entry.signature)
        if signature.hex() != entry.signature:
            return False  # fromhex reads capitals and spaces, too: the same signature would be other bytes of the line
        Ed25519PublicKey.from_public_bytes(key).verify(signature, content)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def digest_of(line: bytes) -> str:
    """What the next line says of this one: the SHA-256 of its bytes, signature and newline included."""
    return hashlib.sha256(line).hexdigest()


def stamp(seconds: float) -> str:
    """Seconds since 1970 as an audit says them: UTC, to the millisecond. The order of lines is ``n``, not this."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _all_texts(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _entry_bytes(entry: Entry) -> bytes:
    return pack("audit-entry", _canonical({**vars(entry), "signature": ""}))


def _head_bytes(head: Head) -> bytes:
    return pack("audit-head", _canonical({**vars(head), "signature": ""}))


def _canonical(table: Mapping[str, Any]) -> bytes:
    return json.dumps(table, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()
