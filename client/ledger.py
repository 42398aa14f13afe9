"""The institution's memory: what it was asked, what it answered, and its secret state.

One SQLite file. An answer and the state change that goes with it are one transaction, written before the answer leaves:
after a crash the same request gets the same bytes, and nothing is ever masked twice. Deleted keys are overwritten
(``secure_delete``); that erases them from the file, not from copies that a file system or a disk keeps by itself.

Two processes may use one ledger: a writer holds the file for its transaction only, and a transaction goes through only
if the state it started from is still the state (``version``).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared.errors import ResourceError
from shared.exchange import MessageKind, Reply
from shared.files import PRIVATE_MODE
from shared.privacy.budget import Spent
from shared.secagg.errors import ReplayedRound

BUSY_TIMEOUT_S = 60.0
"""Longest wait for another process that holds the ledger."""
LARGEST_NUMBER = 2**63 - 1
"""Largest number of an epoch or round that SQLite keeps."""
ROUNDS_KEPT = 2
"""Answers of this many latest rounds of a run are kept to be given again; older ones are deleted."""

_TABLES = """
CREATE TABLE IF NOT EXISTS answers (run TEXT, epoch INTEGER, round INTEGER, stage TEXT, digest BLOB NOT NULL,
  header BLOB NOT NULL, blob BLOB NOT NULL, PRIMARY KEY (run, epoch, round, stage));
CREATE TABLE IF NOT EXISTS epochs (run TEXT, epoch INTEGER, version INTEGER NOT NULL, state BLOB NOT NULL, PRIMARY KEY (run, epoch));
CREATE TABLE IF NOT EXISTS spent (run TEXT, epoch INTEGER, round INTEGER, rho REAL NOT NULL, PRIMARY KEY (run, epoch, round));
"""


@dataclass(frozen=True)
class Slot:
    """The place of one answer. Open has ``round`` 0."""

    run: str
    epoch: int
    round: int
    stage: MessageKind


@dataclass(frozen=True)
class EpochState:
    """An epoch's exported secrets and how often they have changed; ``version`` 0 with empty ``state``: not opened yet."""

    state: bytes = b""
    version: int = 0


@dataclass(frozen=True)
class Charge:
    """What an answer costs of the institution's privacy; ``check`` raises unless what is then spent in all may be."""

    rho: float
    check: Callable[[Spent], None]


class ConcurrentChange(ResourceError):
    """Another process has answered for this institution meanwhile; its answer stands and this one was thrown away."""


class Ledger:
    """Answers, epoch states and spent privacy of one institution, in the file ``path`` (mode 0600)."""

    def __init__(self, path: Path) -> None:
        """Opens the ledger and makes it if it is not there. Raises :class:`ResourceError` where that fails."""
        self._path = path
        with self._connected():
            pass

    def answer(self, slot: Slot, digest: bytes) -> Reply | None:
        """The stored answer to the identical request, ``None`` if the slot is free.

        Raises :class:`ReplayedRound` if another request has been answered in this slot.
        """
        with self._connected() as connection:
            return _stored(connection, slot, digest)

    def epoch(self, run: str, number: int) -> EpochState:
        """The state of an epoch; version 0 if there is none."""
        with self._connected() as connection:
            row = connection.execute("SELECT state, version FROM epochs WHERE run = ? AND epoch = ?", (run, number)).fetchone()
        return EpochState() if row is None else EpochState(*row)

    def newest(self, run: str) -> tuple[int, int]:
        """The highest epoch and the highest round that this institution has answered in a run; 0 if none."""
        with self._connected() as connection:
            epoch = connection.execute("SELECT max(epoch) FROM epochs WHERE run = ?", (run,)).fetchone()[0]
            number = connection.execute("SELECT max(round) FROM answers WHERE run = ?", (run,)).fetchone()[0]
        return epoch or 0, number or 0

    def record(
        self,
        slot: Slot,
        digest: bytes,
        reply: Reply,
        before: EpochState,
        state: bytes,
        charge: Charge | None = None,
    ) -> Reply:
        """Stores an answer and the new state in one transaction; returns the answer that counts.

        That is the stored one if another process was first with the identical request. Raises :class:`ReplayedRound` if it
        was first with another request, :class:`ConcurrentChange` if it changed the epoch's state otherwise, and what ``charge``
        raises if the answer costs more than may be spent.
        """
        with self._writing() as connection:
            stored = _stored(connection, slot, digest)
            if stored is not None:
                return stored
            _replace_state(connection, slot, before, state)
            if charge is not None and charge.rho:
                charge.check(_spent(connection).after(charge.rho))
                connection.execute("INSERT INTO spent VALUES (?, ?, ?, ?)", (slot.run, slot.epoch, slot.round, charge.rho))
            connection.execute(
                "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)",
                (slot.run, slot.epoch, slot.round, slot.stage, digest, reply.header, reply.blob),
            )
            _forget_old(connection, slot)
        return reply

    def spent(self) -> Spent:
        """What all rounds that this institution has answered, in all runs, have cost its privacy."""
        with self._connected() as connection:
            return _spent(connection)

    def charged(self, slot: Slot) -> float:
        """What the answer in a slot has cost; 0 if nothing."""
        with self._connected() as connection:
            where = (slot.run, slot.epoch, slot.round)
            row = connection.execute("SELECT rho FROM spent WHERE run = ? AND epoch = ? AND round = ?", where).fetchone()
        return 0.0 if row is None else float(row[0])

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        # One connection a call: threads and processes need no more agreement than SQLite's own, and a ledger whose file
        # was taken away under a running process is an empty one, not a broken one.
        _make_private(self._path)
        try:
            connection = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            try:
                # EXTRA is FULL that also waits for the folder, so a commit survives a power cut.
                connection.execute("PRAGMA synchronous = EXTRA")
                connection.execute("PRAGMA secure_delete = ON")
                connection.executescript(_TABLES)
                yield connection
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise ResourceError(f"the ledger {self._path} failed: {error}; check the disk and its permissions") from error


def _make_private(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, PRIVATE_MODE))
        path.chmod(PRIVATE_MODE)
    except OSError as error:
        raise ResourceError(f"cannot make the ledger {path}: {error.strerror}; check the folder and its permissions") from error


def _stored(connection: sqlite3.Connection, slot: Slot, digest: bytes) -> Reply | None:
    row = connection.execute(
        "SELECT digest, header, blob FROM answers WHERE run = ? AND epoch = ? AND round = ? AND stage = ?",
        (slot.run, slot.epoch, slot.round, slot.stage),
    ).fetchone()
    if row is None:
        return None
    if row[0] != digest:
        raise ReplayedRound(f"another {slot.stage} request for round {slot.round} of epoch {slot.epoch} was answered already")
    return Reply(row[1], row[2])


def _spent(connection: sqlite3.Connection) -> Spent:
    return Spent(*connection.execute("SELECT total(rho), count(*) FROM spent").fetchone())


def _replace_state(connection: sqlite3.Connection, slot: Slot, before: EpochState, state: bytes) -> None:
    row = connection.execute("SELECT version FROM epochs WHERE run = ? AND epoch = ?", (slot.run, slot.epoch)).fetchone()
    if (0 if row is None else row[0]) != before.version:
        raise ConcurrentChange(f"another process answered in epoch {slot.epoch} of run {slot.run} meanwhile; ask again")
    connection.execute("INSERT OR REPLACE INTO epochs VALUES (?, ?, ?, ?)", (slot.run, slot.epoch, before.version + 1, state))


def _forget_old(connection: sqlite3.Connection, slot: Slot) -> None:
    # Keys of epochs before the newest open no round any more; answers are kept for the rounds that may be asked again.
    connection.execute("DELETE FROM epochs WHERE run = ? AND epoch < ?", (slot.run, slot.epoch))
    connection.execute("DELETE FROM answers WHERE run = ? AND stage = 'open' AND epoch < ?", (slot.run, slot.epoch))
    connection.execute(
        "DELETE FROM answers WHERE run = ?1 AND stage <> 'open' AND round NOT IN "
        "(SELECT DISTINCT round FROM answers WHERE run = ?1 AND stage <> 'open' ORDER BY round DESC LIMIT ?2)",
        (slot.run, ROUNDS_KEPT),
    )
