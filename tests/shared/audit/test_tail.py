from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.audit.tail import Tail
from shared.audit.writer import AuditLog


def test_what_is_new_and_when_it_begins_again(tmp_path: Path) -> None:
    tail, key = Tail(tmp_path), Ed25519PrivateKey.generate()
    assert tail.look() == (False, ())
    audit, log = AuditLog(tmp_path, "coordinator", key), tmp_path / "log.jsonl"
    audit.append("one")
    audit.append("two")
    again, entries = tail.look()
    assert (again, [entry.kind for entry in entries]) == (False, ["one", "two"])
    assert tail.look() == (False, ())
    with log.open("ab") as file:
        file.write(b"no line\nhalf a ")
    assert tail.look() == (False, ())
    log.write_bytes(log.read_bytes().splitlines(keepends=True)[0])
    again, entries = tail.look()
    assert (again, [entry.kind for entry in entries]) == (True, ["one"])
    log.unlink()
    assert tail.look() == (True, ())
