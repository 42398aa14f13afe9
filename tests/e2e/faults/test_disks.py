"""A full disk, a read-only one and a clock that jumps: one clear sentence, nothing half-written, and the same run goes on afterwards."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from client.site import InstitutionSite
from shared.errors import ResourceError, RunError
from tests.support.audits import audit_of
from tests.support.small import SmallFederation, digest_of, make_federation, undisturbed

Break = Callable[[pytest.MonkeyPatch, Path], None]


def full(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def no_file_can_be_synced(code: int) -> Break:
    """Every write of a file below the folder fails where data would reach the disk."""

    def apply(patch: pytest.MonkeyPatch, folder: Path) -> None:
        real = os.fsync

        def fsync(handle: int) -> None:
            if str(folder) in str(Path(f"/proc/self/fd/{handle}").readlink()):
                raise full(code)
            real(handle)

        patch.setattr(os, "fsync", fsync)

    return apply


def no_database_can_grow(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """SQLite's own way to say that a disk is full, for the ledger in the folder."""
    real = sqlite3.connect

    def connect(path: Any, *arguments: Any, **named: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = real(path, *arguments, **named)
        if folder in Path(str(path)).parents:
            connection.execute("PRAGMA max_page_count = 1")
        return connection

    patch.setattr(sqlite3, "connect", connect)


def leftovers(folder: Path) -> list[Path]:
    """Files that were being written beside others and stayed."""
    return [path for path in folder.rglob(".*") if path.is_file()]


def whole(federation: SmallFederation) -> None:
    """Every database is sound, every audit verifies, nothing half-written lies about."""
    homes = [federation.coordinator, *federation.institutions.values()]
    for path in (path for home in homes for path in home.rglob("*.sqlite")):
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
    for home in homes:
        if (home / "audit" / "head.json").exists():
            audit_of(home)
    assert leftovers(federation.coordinator.parent) == []


@contextmanager
def broken(how: Break, folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        how(patch, folder)
        yield


@pytest.mark.parametrize(
    ("code", "words", "after"),
    [
        (errno.ENOSPC, "No space left", "run-started"),
        (errno.ENOSPC, "No space left", "round-started"),
        (errno.ENOSPC, "No space left", "round-closed"),
        (errno.EROFS, "Read-only", "phase-started"),
    ],
)
def test_a_coordinator_whose_disk_takes_nothing_more(code: int, words: str, after: str, tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 3)
    with pytest.MonkeyPatch.context() as patch:

        def watch(event: Any) -> None:
            if event.kind == after:
                no_file_can_be_synced(code)(patch, federation.coordinator)

        with pytest.raises(ResourceError, match=words) as raised:
            federation.run(watch=watch)
    assert "free some space" in str(raised.value)
    whole(federation)
    assert digest_of(federation.run()) == undisturbed(3, 2)
    whole(federation)


@pytest.mark.parametrize("how", [no_file_can_be_synced(errno.ENOSPC), no_file_can_be_synced(errno.EROFS), no_database_can_grow])
def test_an_institution_whose_disk_takes_nothing_more(how: Break, tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 3, aggregation={"most_void_rounds": 1})
    home = federation.institutions["ash"]
    InstitutionSite(home).ledger.spent()
    with broken(how, home), pytest.raises(RunError, match="ash"):
        federation.run()
    whole(federation)
    federation.run("afterwards")
    whole(federation)


def test_what_an_institution_says_of_its_disk_is_one_sentence(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 4, rounds=1)
    refusals: list[Any] = []
    with broken(no_file_can_be_synced(errno.ENOSPC), federation.institutions["ash"]):
        result = federation.run(watch=lambda event: refusals.append(event) if event.kind == "epoch-opened" else None)
    assert all("ash" not in record.survivors for record in result.rounds)
    assert refusals[0].refused["ash"].count("\n") == 0
    assert "No space left on device" in refusals[0].refused["ash"]


@pytest.mark.parametrize("jump", [-86_400.0, 3e8])
def test_a_clock_that_jumps_changes_nothing(jump: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    federation = make_federation(tmp_path, 3)
    real, offset = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + offset[0])

    def watch(event: Any) -> None:
        if event.kind == "round-closed":
            offset[0] += jump

    assert digest_of(federation.run(watch=watch)) == undisturbed(3, 2)
    whole(federation)
    assert [entry.n for entry in audit_of(federation.coordinator)] == list(range(1, len(audit_of(federation.coordinator)) + 1))
