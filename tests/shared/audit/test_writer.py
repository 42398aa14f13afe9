"""What was acknowledged is there; what a kill left is mended; what nobody's kill left is refused."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import shared.audit.writer as writer
from shared.audit.chain import HEAD_NAME, LOG_NAME, Entry, Head, digest_of, signed, signed_head
from shared.audit.verify import verify
from shared.audit.writer import AuditLog
from shared.errors import AuditError, ResourceError
from shared.files import write_atomic

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()


def audit(folder: Path) -> AuditLog:
    return AuditLog(folder, "coordinator", KEY, clock=lambda: 12.5)


def test_lines_are_numbered_and_verify(tmp_path: Path) -> None:
    for number in range(5):
        audit(tmp_path).append("round", number=number, sentence="é\n")
    trail = verify(tmp_path, PUBLIC)
    assert [(entry.n, entry.fields["number"]) for entry in trail.entries] == [(n + 1, n) for n in range(5)]
    assert (trail.side, trail.unfinished) == ("coordinator", 0)
    assert (tmp_path / LOG_NAME).stat().st_mode & 0o777 == 0o600


def test_a_line_longer_than_a_chunk_is_found_again(tmp_path: Path) -> None:
    for length in (1, 5_000, 40_000, 1):
        audit(tmp_path).append("round", long="x" * length)
    assert len(verify(tmp_path, PUBLIC).entries) == 4


@pytest.mark.parametrize("torn", [1, 10, 5000])
def test_a_torn_line_that_nobody_was_told_of_is_cut_off(torn: int, tmp_path: Path) -> None:
    audit(tmp_path).append("round", long="x" * 9000)
    before = (tmp_path / LOG_NAME).read_bytes()
    with (tmp_path / LOG_NAME).open("ab") as file:
        file.write(before[:torn])
    assert verify(tmp_path, PUBLIC).unfinished == torn
    audit(tmp_path).append("round")
    assert (tmp_path / LOG_NAME).read_bytes().startswith(before + b'{"fields":{},"kind":"round","n":2')
    assert len(verify(tmp_path, PUBLIC).entries) == 2


def test_killed_between_line_and_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audit(tmp_path).append("one")

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_atomic", killed)
        with pytest.raises(KeyboardInterrupt):
            audit(tmp_path).append("two")
    assert [entry.kind for entry in verify(tmp_path, PUBLIC).entries] == ["one", "two"]
    audit(tmp_path).append("three")
    assert [entry.kind for entry in verify(tmp_path, PUBLIC).entries] == ["one", "two", "three"]


def test_killed_between_the_first_line_and_its_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heads = [0]

    def killed_at_the_second(*arguments: Any, **named: Any) -> None:
        heads[0] += 1
        if heads[0] == 2:
            raise KeyboardInterrupt
        write_atomic(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_atomic", killed_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            audit(tmp_path).append("one")
    assert [entry.kind for entry in verify(tmp_path, PUBLIC).entries] == ["one"]
    audit(tmp_path).append("two")
    assert [entry.kind for entry in verify(tmp_path, PUBLIC).entries] == ["one", "two"]


@pytest.mark.parametrize("lines", [1, 3])
def test_nothing_is_added_to_lines_without_a_head(lines: int, tmp_path: Path) -> None:
    for _ in range(3):
        audit(tmp_path).append("round")
    whole = (tmp_path / LOG_NAME).read_bytes().splitlines(keepends=True)
    (tmp_path / LOG_NAME).write_bytes(b"".join(whole[:lines]))
    (tmp_path / HEAD_NAME).unlink()
    with pytest.raises(AuditError, match=r"head\.json is missing"):
        audit(tmp_path).append("round")
    assert (tmp_path / LOG_NAME).read_bytes() == b"".join(whole[:lines])


def nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    "odd", [nested(100_000), float("nan"), b"bytes", {2: 0, 10: 0}, 10**5000], ids=["deep", "nan", "bytes", "keys", "long"]
)
def test_what_does_not_read_back_is_not_written(odd: object, tmp_path: Path) -> None:
    audit(tmp_path).append("round")
    before = (tmp_path / LOG_NAME).read_bytes()
    with pytest.raises(AuditError, match="a line of kind odd cannot be written"):
        audit(tmp_path).append("odd", it=odd)
    assert (tmp_path / LOG_NAME).read_bytes() == before
    audit(tmp_path).append("round")
    assert len(verify(tmp_path, PUBLIC).entries) == 2


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_nothing_is_added_to_an_audit_whose_end_was_cut_off(kept: int, tmp_path: Path) -> None:
    for _ in range(3):
        audit(tmp_path).append("round")
    lines = (tmp_path / LOG_NAME).read_bytes().splitlines(keepends=True)
    (tmp_path / LOG_NAME).write_bytes(b"".join(lines[:kept]))
    with pytest.raises(AuditError, match=f"ends with line {kept}, its head counts 3"):
        audit(tmp_path).append("round")
    assert (tmp_path / LOG_NAME).read_bytes() == b"".join(lines[:kept])


def test_a_damaged_head_or_last_line_is_refused(tmp_path: Path) -> None:
    audit(tmp_path).append("round")
    head, log = (tmp_path / HEAD_NAME).read_bytes(), (tmp_path / LOG_NAME).read_bytes()
    (tmp_path / HEAD_NAME).write_bytes(b"{")
    with pytest.raises(AuditError, match="head"):
        audit(tmp_path).append("round")
    (tmp_path / HEAD_NAME).write_bytes(head)
    (tmp_path / LOG_NAME).write_bytes(b"nothing\n")
    with pytest.raises(AuditError, match="was changed"):
        audit(tmp_path).append("round")
    (tmp_path / LOG_NAME).write_bytes(log)
    audit(tmp_path).append("round")


def test_nothing_is_signed_over_a_head_that_somebody_without_the_key_wrote(tmp_path: Path) -> None:
    for _ in range(3):
        audit(tmp_path).append("round")
    lines = (tmp_path / LOG_NAME).read_bytes().splitlines(keepends=True)
    genuine_head = json.loads((tmp_path / HEAD_NAME).read_bytes())
    (tmp_path / LOG_NAME).write_bytes(b"".join(lines[:2]))
    cut = Head("coordinator", 2, digest_of(lines[1]))
    unsigned, copied = cut, Head(cut.side, cut.count, cut.digest, genuine_head["signature"])
    for head in (unsigned, copied, signed_head(cut, Ed25519PrivateKey.generate())):
        (tmp_path / HEAD_NAME).write_bytes(head.line())
        with pytest.raises(AuditError, match=r"head of the audit .* this side's signature"):
            audit(tmp_path).append("round")
    assert (tmp_path / LOG_NAME).read_bytes() == b"".join(lines[:2])


def test_nothing_is_signed_over_a_last_line_that_somebody_without_the_key_wrote(tmp_path: Path) -> None:
    audit(tmp_path).append("round")
    before = (tmp_path / LOG_NAME).read_bytes()
    put_in = Entry(2, "2026-01-01T00:00:00.000Z", "coordinator", "round", {}, digest_of(before))
    another = Entry(2, put_in.time, "institution/ash", "round", {}, put_in.previous)
    for line in (put_in, signed(put_in, Ed25519PrivateKey.generate()), signed(another, KEY)):
        (tmp_path / LOG_NAME).write_bytes(before + line.line())
        with pytest.raises(AuditError, match=r"last line of the audit .* this side's signature"):
            audit(tmp_path).append("round")


def test_a_head_nested_too_deep_is_refused(tmp_path: Path) -> None:
    audit(tmp_path).append("round")
    (tmp_path / HEAD_NAME).write_bytes(b"[" * 100_000)
    with pytest.raises(AuditError, match="damaged"):
        audit(tmp_path).append("round")


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audit(tmp_path).append("round")
    before = (tmp_path / LOG_NAME).read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ResourceError, match="No space left"):
            audit(tmp_path).append("round")
    assert (tmp_path / LOG_NAME).read_bytes() == before
    audit(tmp_path).append("round")
    assert len(verify(tmp_path, PUBLIC).entries) == 2


def test_a_line_whose_head_cannot_be_written_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: Any, **__: Any) -> None:
        raise ResourceError(f"cannot write {path}: No space left on device")

    for written in (b"", b"one"):
        before = (tmp_path / LOG_NAME).read_bytes() if written else b""
        with monkeypatch.context() as patch:
            patch.setattr(writer, "write_atomic", full)
            with pytest.raises(ResourceError, match="No space left"):
                audit(tmp_path).append("never")
        assert (tmp_path / LOG_NAME).read_bytes() == before
        audit(tmp_path).append("one")
    assert [entry.kind for entry in verify(tmp_path, PUBLIC).entries] == ["one", "one"]


@pytest.mark.parametrize("damaged", [False, True])
def test_a_line_that_the_head_on_the_disk_may_count_is_not_taken_back(
    damaged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit(tmp_path).append("one")

    def renamed(path: Path, content: bytes, **_: Any) -> None:
        path.write_bytes(b"{" if damaged else content)
        raise ResourceError(f"cannot write {path}: the folder cannot be synced")

    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_atomic", renamed)
        with pytest.raises(ResourceError, match="synced"):
            audit(tmp_path).append("two")
    assert (tmp_path / LOG_NAME).read_bytes().count(b"\n") == 2
    if not damaged:
        audit(tmp_path).append("three")
        assert [entry.kind for entry in verify(tmp_path, PUBLIC).entries] == ["one", "two", "three"]


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be written"):
        audit(tmp_path / "file" / "audit").append("round")


def _append_many(folder: str) -> None:
    for number in range(15):
        audit(Path(folder)).append("round", number=number)


def test_two_processes_share_one_audit(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_append_many, args=(str(tmp_path),)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(verify(tmp_path, PUBLIC).entries) == 30
