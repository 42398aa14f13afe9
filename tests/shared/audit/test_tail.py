from __future__ import annotations

from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import shared.audit.writer as writer
from shared.audit.tail import Tail
from shared.audit.writer import AuditLog
from shared.errors import ResourceError


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


def test_what_cannot_be_read_is_said_and_counted_once_when_it_can(tmp_path: Path) -> None:
    tail, log = Tail(tmp_path), tmp_path / "log.jsonl"
    AuditLog(tmp_path, "coordinator", Ed25519PrivateKey.generate()).append("one")
    assert len(tail.look()[1]) == 1
    log.rename(tmp_path / "away")
    log.mkdir()
    for _ in range(2):
        with pytest.raises(ResourceError, match="cannot be read: Is a directory"):
            tail.look()
    log.rmdir()
    (tmp_path / "away").rename(log)
    assert tail.look() == (False, ())


def test_another_file_in_its_place_is_read_from_its_start_however_long(tmp_path: Path) -> None:
    tail, log = Tail(tmp_path), tmp_path / "log.jsonl"
    AuditLog(tmp_path, "coordinator", Ed25519PrivateKey.generate()).append("old")
    tail.look()
    log.rename(tmp_path / "kept")
    (tmp_path / "head.json").unlink()
    audit = AuditLog(tmp_path, "coordinator", Ed25519PrivateKey.generate())
    audit.append("new")
    audit.append("new")
    again, entries = tail.look()
    assert (again, {entry.kind for entry in entries}) == (True, {"new"})


def test_a_line_that_is_taken_back_is_never_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tail, audit = Tail(tmp_path), AuditLog(tmp_path, "coordinator", Ed25519PrivateKey.generate())
    audit.append("one")
    tail.look()
    seen: list[tuple[bool, int]] = []
    looking = Thread(target=lambda: seen.append((tail.look()[0], len(tail.look()[1]))))

    def full(*_: Any, **__: Any) -> None:
        looking.start()
        looking.join(0.5)  # without the lock it has seen the line in a fraction of this
        raise ResourceError("full")

    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_atomic", full)
        with pytest.raises(ResourceError):
            audit.append("two")
    looking.join(60)
    assert tail.look() == (False, ())
    assert seen == [(False, 0)]
