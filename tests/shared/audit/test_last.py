"""The newest line of a kind is found from the end, whole and genuine, whatever stands before it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from shared.audit import last
from shared.audit.chain import COORDINATOR, LOG_NAME
from shared.audit.last import last_of
from shared.audit.writer import AuditLog
from shared.errors import AuditError
from shared.identity import public_bytes

KEY = Ed25519PrivateKey.generate()


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path, COORDINATOR, KEY)


def test_the_newest_of_its_kind_is_found(tmp_path: Path, log: AuditLog) -> None:
    assert last_of(tmp_path, "roster", public_bytes(KEY)) is None
    log.append("membership", event="joined")
    assert last_of(tmp_path, "roster", public_bytes(KEY)) is None
    log.append("roster", members={"va": "1"})
    newest = log.append("roster", members={"va": "2"})
    log.append("membership", event="renewed", detail={"kind": "roster"}, said='"kind":"roster"')
    assert last_of(tmp_path, "roster", public_bytes(KEY)) == newest


def test_a_part_of_a_line_is_none(tmp_path: Path, log: AuditLog) -> None:
    first = log.append("roster", members={})
    second = log.append("roster", members={"va": "1"})
    content = (tmp_path / LOG_NAME).read_bytes()
    (tmp_path / LOG_NAME).write_bytes(content[: -len(second.line()) // 2])
    assert last_of(tmp_path, "roster", public_bytes(KEY)) == first


def test_a_line_that_was_changed_is_not_taken(tmp_path: Path, log: AuditLog) -> None:
    log.append("roster", members={"va": "1"})
    content = (tmp_path / LOG_NAME).read_bytes()
    for changed in (content.replace(b'"va":"1"', b'"va":"2"'), content.replace(b'"n":1', b'"n": 1')):
        (tmp_path / LOG_NAME).write_bytes(changed)
        with pytest.raises(AuditError, match="was changed"):
            last_of(tmp_path, "roster", public_bytes(KEY))


def test_what_is_far_from_the_end_of_a_long_audit_is_read_no_more_than_needed(tmp_path: Path, log: AuditLog) -> None:
    """Garbage in front costs nothing: the file is read from its end."""
    wanted = log.append("roster", members={})
    log.append("membership", event="x" * 200_000)
    path = tmp_path / LOG_NAME
    path.write_bytes(b'{"kind":"roster"}\n' + path.read_bytes())
    assert last_of(tmp_path, "roster", public_bytes(KEY)) == wanted


@given(st.lists(st.binary(max_size=9).map(lambda line: line.replace(b"\n", b""))), st.binary(max_size=5), st.integers(1, 12))
def test_backwards_is_forwards_the_other_way_round(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], rest: bytes, chunk: int
) -> None:
    path = tmp_path_factory.mktemp("lines") / "file"
    path.write_bytes(b"".join(line + b"\n" for line in lines) + rest.replace(b"\n", b""))
    with pytest.MonkeyPatch.context() as patch, path.open("rb") as file:
        patch.setattr(last, "_CHUNK", chunk)
        assert list(last.backwards(file)) == [line + b"\n" for line in reversed(lines)]
