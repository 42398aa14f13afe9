"""Every way to tamper with one line is found, and found where it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.audit.chain import HEAD_NAME, LOG_NAME, Head, read_entry, signed_head
from shared.audit.verify import side_of, verify
from shared.audit.writer import AuditLog
from shared.errors import AuditError, MissingFileError, ResourceError

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
LINES = 6
Lines = list[bytes]


def written(folder: Path, key: Ed25519PrivateKey = KEY, side: str = "coordinator", lines: int = LINES) -> Lines:
    audit = AuditLog(folder, side, key, clock=lambda: 1.0)
    for number in range(lines):
        audit.append("round", number=number)
    return (folder / LOG_NAME).read_bytes().splitlines(keepends=True)


def reordered(lines: Lines) -> Lines:
    return [lines[0], lines[2], lines[1], *lines[3:]]


@pytest.mark.parametrize(
    ("tamper", "line", "what"),
    [
        (lambda lines: [*lines[:2], lines[2].replace(b'"number":2', b'"number":9'), *lines[3:]], 3, "was changed"),
        (lambda lines: [*lines[:2], b"{}\n", *lines[3:]], 3, "it was changed"),
        (lambda lines: [*lines[:2], b"\n", *lines[2:]], 3, "it was changed"),
        (lambda lines: [*lines[:2], *lines[3:]], 3, "line 3 is missing"),
        (lambda lines: [*lines[:2], *lines[4:]], 3, "lines 3 to 4 are missing"),
        (lambda lines: lines[1:], 1, "line 1 is missing"),
        (reordered, 2, "line 3 stands here, line 2 further down: they were moved"),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], 4, "line 3 stands here once more"),
        (lambda lines: lines[:-1], 6, "the end was cut off: there are 5 lines, the head counts 6"),
        (lambda lines: lines[:2], 3, "the end was cut off"),
        (lambda lines: [], 1, "the end was cut off"),
        (lambda lines: [*lines[:-1], lines[-1][:40]], 6, "of the next a part is left"),
        (lambda lines: [*lines[:-1], lines[-1][:-1]], 6, "the end was cut off"),
    ],
)
def test_one_line_is_found_and_located(tamper: Callable[[Lines], Lines], line: int, what: str, tmp_path: Path) -> None:
    lines = written(tmp_path)
    assert len(verify(tmp_path, PUBLIC).entries) == LINES
    (tmp_path / LOG_NAME).write_bytes(b"".join(tamper(lines)))
    with pytest.raises(AuditError, match=f"at line {line}: .*{what}"):
        verify(tmp_path, PUBLIC)


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_any_changed_bit_is_located_in_its_line(place: int, bit: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("audit")
    content = bytearray(b"".join(written(folder, lines=3)))
    place %= len(content)
    number = content[:place].count(b"\n") + 1
    content[place] ^= 1 << bit
    (folder / LOG_NAME).write_bytes(bytes(content))
    with pytest.raises(AuditError, match=f"at line {number}: "):
        verify(folder, PUBLIC)


def test_lines_of_another_key_are_put_in_by_nobody(tmp_path: Path) -> None:
    lines = written(tmp_path / "mine")
    theirs = written(tmp_path / "theirs", Ed25519PrivateKey.generate())
    (tmp_path / "mine" / LOG_NAME).write_bytes(b"".join([*lines[:3], theirs[3], *lines[4:]]))
    with pytest.raises(AuditError, match="at line 4: it was changed or put in"):
        verify(tmp_path / "mine", PUBLIC)


def test_a_line_of_the_same_side_s_other_audit_does_not_follow(tmp_path: Path) -> None:
    lines = written(tmp_path / "one")
    other = AuditLog(tmp_path / "other", "coordinator", KEY)
    for _ in range(LINES):
        other.append("another")
    foreign = (tmp_path / "other" / LOG_NAME).read_bytes().splitlines(keepends=True)
    (tmp_path / "one" / LOG_NAME).write_bytes(b"".join([*lines[:3], foreign[3], *lines[4:]]))
    with pytest.raises(AuditError, match="at line 4: it does not follow line 3"):
        verify(tmp_path / "one", PUBLIC)


def test_the_head_is_the_side_s_own_and_of_these_lines(tmp_path: Path) -> None:
    lines = written(tmp_path)
    head = tmp_path / HEAD_NAME
    head.write_bytes(signed_head(Head("coordinator", 5, "0" * 64), Ed25519PrivateKey.generate()).line())
    with pytest.raises(AuditError, match="does not carry its side's signature"):
        verify(tmp_path, PUBLIC)
    head.write_bytes(b"{}")
    with pytest.raises(AuditError, match=r"head .* was changed"):
        verify(tmp_path, PUBLIC)
    head.write_bytes(signed_head(Head("coordinator", 6, "0" * 64), KEY).line())
    with pytest.raises(AuditError, match="at line 6: the head has another digest"):
        verify(tmp_path, PUBLIC)
    head.write_bytes(signed_head(Head("coordinator", 2, read_entry(lines[2]).previous), KEY).line())
    with pytest.raises(AuditError, match="an older head"):
        verify(tmp_path, PUBLIC)


def test_a_file_that_was_taken_away_is_missed(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no audit"):
        verify(tmp_path, PUBLIC)
    written(tmp_path)
    (tmp_path / HEAD_NAME).rename(tmp_path / "kept")
    with pytest.raises(AuditError, match=r"head\.json is missing"):
        verify(tmp_path, PUBLIC)
    (tmp_path / "kept").rename(tmp_path / HEAD_NAME)
    (tmp_path / LOG_NAME).unlink()
    with pytest.raises(AuditError, match=r"log\.jsonl is missing"):
        verify(tmp_path, PUBLIC)


def test_a_head_that_was_taken_away_is_no_audit_that_was_never_begun(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / HEAD_NAME).unlink()
    with pytest.raises(AuditError, match=r"head\.json is missing"):
        side_of(tmp_path)


@pytest.mark.parametrize("unreadable", [LOG_NAME, HEAD_NAME])
@pytest.mark.parametrize("look", [side_of, lambda folder: verify(folder, PUBLIC)])
def test_what_cannot_be_read_is_said(unreadable: str, look: Callable[[Path], object], tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / unreadable).unlink()
    (tmp_path / unreadable).mkdir()
    with pytest.raises(ResourceError, match="cannot be read: Is a directory"):
        look(tmp_path)


def test_a_file_is_no_folder_of_an_audit(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for look in (side_of, lambda folder: verify(folder, PUBLIC)):
        with pytest.raises(MissingFileError, match="no audit"):
            look(tmp_path / "file")


def test_a_line_that_is_added_meanwhile_is_no_false_alarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path)
    added: list[Thread] = []
    read = Path.read_bytes

    def slowly(path: Path) -> bytes:
        if path.name == HEAD_NAME and not added:
            added.append(Thread(target=written, args=(tmp_path,), kwargs={"lines": 3}))
            added[0].start()
            added[0].join(0.5)  # without the lock the three lines are written in a fraction of this
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", slowly)
    assert len(verify(tmp_path, PUBLIC).entries) == LINES
    added[0].join(60)
    assert len(verify(tmp_path, PUBLIC).entries) == LINES + 3


def test_whose_audit_it_is(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        side_of(tmp_path)
    written(tmp_path, side="institution/ash")
    assert side_of(tmp_path) == "institution/ash"
    with pytest.raises(AuditError):
        verify(tmp_path, Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    (tmp_path / HEAD_NAME).write_bytes(b"x")
    with pytest.raises(AuditError):
        side_of(tmp_path)
