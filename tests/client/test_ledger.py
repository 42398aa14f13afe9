"""The institution's memory: recorded before answered, and the same answer for the same request."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

import client.ledger
from client.ledger import ConcurrentChange, EpochState, Ledger, Slot
from shared.errors import ResourceError
from shared.exchange import MessageKind, Reply
from shared.secagg.errors import ReplayedRound

DIGEST, OTHER = b"d" * 32, b"o" * 32


def slot(number: int = 1, stage: MessageKind = "train", epoch: int = 1) -> Slot:
    return Slot("trial", epoch, number, stage)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "state" / "ledger.sqlite")


def record(ledger: Ledger, where: Slot, digest: bytes = DIGEST, reply: Reply = Reply(b"header", b"blob"), state: bytes = b"state") -> Reply:
    return ledger.record(where, digest, reply, ledger.epoch(where.run, where.epoch), state)


def test_the_same_request_gets_the_stored_answer_after_a_restart(ledger: Ledger, tmp_path: Path) -> None:
    assert ledger.answer(slot(), DIGEST) is None
    record(ledger, slot())
    again = Ledger(tmp_path / "state" / "ledger.sqlite")
    assert again.answer(slot(), DIGEST) == Reply(b"header", b"blob")
    assert again.epoch("trial", 1) == EpochState(b"state", 1)


def test_another_request_for_the_same_place_is_refused(ledger: Ledger) -> None:
    record(ledger, slot())
    with pytest.raises(ReplayedRound, match="another train request for round 1"):
        ledger.answer(slot(), OTHER)
    with pytest.raises(ReplayedRound):
        record(ledger, slot(), OTHER)


def test_whoever_is_first_wins_and_the_loser_gives_the_winner_s_answer(ledger: Ledger) -> None:
    before = ledger.epoch("trial", 1)
    ledger.record(slot(), DIGEST, Reply(b"first"), before, b"state-1")
    assert ledger.record(slot(), DIGEST, Reply(b"second"), before, b"state-2") == Reply(b"first")
    assert ledger.epoch("trial", 1).state == b"state-1"
    with pytest.raises(ConcurrentChange):
        ledger.record(slot(2), DIGEST, Reply(b"third"), before, b"state-3")
    assert ledger.answer(slot(2), DIGEST) is None


def test_answer_and_state_are_one_transaction(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("power cut")

    monkeypatch.setattr(client.ledger, "_forget_old", fails)
    with pytest.raises(RuntimeError):
        record(ledger, slot())
    assert ledger.answer(slot(), DIGEST) is None
    assert ledger.epoch("trial", 1) == EpochState()


def test_only_the_last_two_rounds_are_kept(ledger: Ledger) -> None:
    record(ledger, slot(0, "open"))
    stages: tuple[MessageKind, ...] = ("train", "unmask")
    for number in (1, 2, 5):
        for stage in stages:
            record(ledger, slot(number, stage))
    kept = [number for number in (1, 2, 5) if ledger.answer(slot(number), DIGEST)]
    assert kept == [2, 5]
    assert ledger.answer(slot(0, "open"), DIGEST) is not None
    assert ledger.newest("trial") == (1, 5)
    assert ledger.newest("other") == (0, 0)


def test_a_new_epoch_erases_the_keys_of_the_old(ledger: Ledger, tmp_path: Path) -> None:
    secret = b"a key that must not be found again"
    record(ledger, slot(0, "open"), state=secret)
    record(ledger, slot(0, "open", epoch=2), state=b"new")
    assert ledger.epoch("trial", 1) == EpochState()
    files = [path for path in (tmp_path / "state").iterdir() if path.is_file()]
    assert all(secret not in path.read_bytes() for path in files)


def test_the_ledger_is_its_owner_s_alone(ledger: Ledger, tmp_path: Path) -> None:
    record(ledger, slot())
    assert (tmp_path / "state" / "ledger.sqlite").stat().st_mode & 0o777 == 0o600


def test_a_damaged_ledger_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"no database " * 100)
    with pytest.raises(ResourceError, match=r"ledger\.sqlite failed"):
        Ledger(tmp_path / "ledger.sqlite")


def _record_many(path: str, who: str) -> None:
    ledger = Ledger(Path(path))
    for number in range(20):
        where = Slot(who, 1, number, "train")
        ledger.record(where, DIGEST, Reply(who.encode()), ledger.epoch(who, 1), b"state")


def test_two_processes_share_one_ledger(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.sqlite")
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_record_many, args=(path, who)) for who in ("one", "two")]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    ledger = Ledger(Path(path))
    assert [ledger.epoch(who, 1).version for who in ("one", "two")] == [20, 20]
    assert [ledger.newest(who) for who in ("one", "two")] == [(1, 19), (1, 19)]
