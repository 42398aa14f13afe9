"""What must survive the coordinator's death: runs, epochs, rounds, requests and events (SQLAlchemy; SQLite or PostgreSQL).

Every request is here before it is sent, so that a coordinator started again asks the identical thing and gets the
answer that the institution has stored. Large blobs and checkpoints are files beside it, written whole before the
transaction that names them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from server.database import explained, lock_tables, open_engine, shown
from server.events import Event, parse_event
from server.records import Epoch, RoundRecord, RoundStatus, RunStatus, Span, StoredRound
from server.tables import EPOCH_KEYS, EPOCHS, EVENTS, METADATA, REQUESTS, ROUNDS, RUNS, SCHEMA, SCHEMA_VERSION
from shared.errors import ResourceError, RunError
from shared.exchange import MessageKind

OPENINGS = 3
"""Tries to open a store before its error is raised."""


class Store:
    """The coordinator's durable state behind a database URL. Safe to open from several processes; one runs a run."""

    def __init__(self, url: str) -> None:
        """Opens the database and makes its tables if it is new.

        Raises :class:`RunError` for a store of another schema version, :class:`ResourceError` where it cannot be opened.
        """
        self._engine = open_engine(url)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        for attempt in reversed(range(OPENINGS)):
            # Two processes that open a new store at once both make its tables; the one that comes second finds them made.
            try:
                self._make_tables()
                break
            except ResourceError:
                if attempt == 0:
                    raise

    def _make_tables(self) -> None:
        with self._begin() as connection:
            lock_tables(connection)
            METADATA.create_all(connection)
            found = connection.scalar(select(SCHEMA.c.version))
            if found is None:
                connection.execute(insert(SCHEMA).values(version=SCHEMA_VERSION))
            elif found != SCHEMA_VERSION:
                where = shown(self._engine)
                raise RunError(f"the store {where} has schema {found}, this fedstill reads {SCHEMA_VERSION}; use the fitting release")

    def close(self) -> None:
        """Gives back the connections."""
        self._engine.dispose()

    # Runs

    def start_run(self, run: str, config: bytes, roster_digest: bytes) -> None:
        """Writes down a new run."""
        with self._begin() as connection:
            connection.execute(insert(RUNS).values(run=run, config=config, roster_digest=roster_digest, status="running", artifact=""))

    def run_config(self, run: str) -> tuple[bytes, bytes] | None:
        """The configuration (canonical JSON) and roster digest that a run was started with; ``None`` if there is no such run."""
        with self._begin() as connection:
            row = connection.execute(select(RUNS.c.config, RUNS.c.roster_digest).where(RUNS.c.run == run)).first()
        return None if row is None else (row[0], row[1])

    def run_status(self, run: str) -> tuple[RunStatus, str] | None:
        """A run's status and, when finished, its artifact's folder."""
        with self._begin() as connection:
            row = connection.execute(select(RUNS.c.status, RUNS.c.artifact).where(RUNS.c.run == run)).first()
        return None if row is None else (row[0], row[1])

    def finish_run(self, run: str, artifact: str) -> None:
        """Marks a run as finished with its artifact's folder."""
        with self._begin() as connection:
            connection.execute(update(RUNS).where(RUNS.c.run == run).values(status="finished", artifact=artifact))

    def runs(self) -> tuple[str, ...]:
        """The names of all runs, in order of names."""
        with self._begin() as connection:
            return tuple(sorted(connection.scalars(select(RUNS.c.run))))

    def finished_runs(self) -> int:
        """How many runs have finished: a count that only grows, and is the same for who publishes again after a kill."""
        with self._begin() as connection:
            return connection.scalar(select(func.count()).select_from(RUNS).where(RUNS.c.status == "finished")) or 0

    # Epochs

    def begin_epoch(self, run: str, epoch: Epoch, headers: Mapping[str, bytes]) -> None:
        """Writes down an epoch that is about to be opened, with the Open request of every institution."""
        with self._begin() as connection:
            connection.execute(
                insert(EPOCHS).values(
                    run=run, number=epoch.number, first_round=epoch.first_round, asked=list(epoch.asked), refused={}, status="opening"
                )
            )
            _insert_requests(connection, run, epoch.number, 0, "open", headers)

    def open_epoch(self, run: str, epoch: Epoch) -> None:
        """Marks an epoch as open, with its keys; it cannot change afterwards."""
        with self._begin() as connection:
            rows = [{"run": run, "epoch": epoch.number, "institution": name, "key": key} for name, key in epoch.keys.items()]
            if rows:
                connection.execute(insert(EPOCH_KEYS), rows)
            connection.execute(_the_epoch(update(EPOCHS), run, epoch.number).values(status="open", refused=dict(epoch.refused)))
            connection.execute(delete(REQUESTS).where(REQUESTS.c.run == run, REQUESTS.c.stage == "open"))

    def epochs(self, run: str) -> tuple[Epoch, ...]:
        """All epochs of a run, the newest last."""
        with self._begin() as connection:
            rows = connection.execute(select(EPOCHS).where(EPOCHS.c.run == run).order_by(EPOCHS.c.number)).all()
            keys = connection.execute(select(EPOCH_KEYS).where(EPOCH_KEYS.c.run == run)).all()
        return tuple(
            Epoch(
                number=row.number,
                first_round=row.first_round,
                asked=tuple(row.asked),
                status=row.status,
                keys=_by_name({key.institution: key.key for key in keys if key.epoch == row.number}),
                refused=dict(row.refused),
            )
            for row in rows
        )

    # Rounds

    def open_round(self, run: str, stored: StoredRound, headers: Mapping[str, bytes]) -> None:
        """Writes down a round that is about to be asked, with the Train request of every institution."""
        record = stored.record
        with self._begin() as connection:
            connection.execute(
                insert(ROUNDS).values(
                    run=run,
                    number=record.number,
                    epoch=record.epoch,
                    phase=record.phase,
                    version=stored.version,
                    attempt=record.attempt,
                    plan=stored.plan,
                    blob=stored.blob,
                    status="open",
                    checkpoint="",
                    record=record.model_dump(mode="json"),
                )
            )
            _insert_requests(connection, run, record.epoch, record.number, "train", headers)

    def save_requests(self, run: str, record: RoundRecord, stage: MessageKind, headers: Mapping[str, bytes]) -> None:
        """Writes down the requests of a later stage, and with them the surviving set, before any is sent."""
        with self._begin() as connection:
            connection.execute(_the_round(update(ROUNDS), run, record.number).values(record=record.model_dump(mode="json")))
            _insert_requests(connection, run, record.epoch, record.number, stage, headers)

    def requests(self, run: str, epoch: int, number: int, stage: MessageKind) -> dict[str, bytes]:
        """The request headers of one stage by institution; empty if the stage was never reached. Open has ``number`` 0."""
        chosen = select(REQUESTS.c.institution, REQUESTS.c.header).where(
            REQUESTS.c.run == run, REQUESTS.c.epoch == epoch, REQUESTS.c.round == number, REQUESTS.c.stage == stage
        )
        with self._begin() as connection:
            return _by_name({row.institution: row.header for row in connection.execute(chosen)})

    def settle_round(self, run: str, record: RoundRecord, checkpoint: str = "") -> None:
        """Closes or voids a round in one transaction; ``checkpoint`` names the file that is already on disk."""
        with self._begin() as connection:
            connection.execute(
                _the_round(update(ROUNDS), run, record.number).values(
                    status=record.status, checkpoint=checkpoint, record=record.model_dump(mode="json")
                )
            )
            connection.execute(delete(REQUESTS).where(REQUESTS.c.run == run, REQUESTS.c.round == record.number))

    def rounds(self, run: str, status: RoundStatus | None = None, *, since_version: int = 0) -> tuple[StoredRound, ...]:
        """The rounds of a run in order, or those with one status, or those whose student is of a version or newer."""
        chosen = select(ROUNDS).where(ROUNDS.c.run == run, ROUNDS.c.version >= since_version).order_by(ROUNDS.c.number)
        with self._begin() as connection:
            rows = connection.execute(chosen if status is None else chosen.where(ROUNDS.c.status == status)).all()
        return tuple(_stored_round(row) for row in rows)

    def records(self, run: str, since: int = 0) -> tuple[RoundRecord, ...]:
        """The records of a run's rounds in order, from number ``since`` on, without their plans, which are many times their size."""
        chosen = select(ROUNDS.c.record).where(ROUNDS.c.run == run, ROUNDS.c.number >= since).order_by(ROUNDS.c.number)
        with self._begin() as connection:
            return tuple(RoundRecord.model_validate(record) for record in connection.scalars(chosen))

    def plan(self, run: str, number: int) -> bytes | None:
        """The encoded Train request of one round; ``None`` if there is no such round. A round's plan never changes."""
        with self._begin() as connection:
            return connection.scalar(select(ROUNDS.c.plan).where(ROUNDS.c.run == run, ROUNDS.c.number == number))

    def newest_round(self, run: str) -> StoredRound | None:
        """The round with the highest number; ``None`` if the run has none yet."""
        chosen = select(ROUNDS).where(ROUNDS.c.run == run).order_by(ROUNDS.c.number.desc()).limit(1)
        with self._begin() as connection:
            row = connection.execute(chosen).first()
        return None if row is None else _stored_round(row)

    # Events

    def add_event(self, run: str, time: float, occurred: Event) -> None:
        """Appends an event to the run's log."""
        with self._begin() as connection:
            connection.execute(insert(EVENTS).values(run=run, time=time, event=occurred.model_dump(mode="json")))

    def events(self, run: str, after: int = 0, most: int | None = None) -> tuple[tuple[int, float, Event], ...]:
        """The events of a run after a sequence number, the first ``most`` of them: (sequence, seconds since 1970, event)."""
        chosen = select(EVENTS).where(EVENTS.c.run == run, EVENTS.c.sequence > after).order_by(EVENTS.c.sequence).limit(most)
        with self._begin() as connection:
            return tuple((row.sequence, row.time, parse_event(json.dumps(row.event))) for row in connection.execute(chosen))

    def span(self, run: str | None = None) -> Span:
        """Of a run's events, or of all, when the first and the last one were and the last one's sequence number."""
        chosen = select(func.min(EVENTS.c.time), func.max(EVENTS.c.time), func.max(EVENTS.c.sequence))
        with self._begin() as connection:
            first, last, newest = connection.execute(chosen if run is None else chosen.where(EVENTS.c.run == run)).one()
        return Span(first, last, newest or 0)

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        with explained(self._engine), self._engine.begin() as connection:
            yield connection


def _by_name(table: dict[str, bytes]) -> dict[str, bytes]:
    # Sorted here: databases do not agree on the order of names.
    return dict(sorted(table.items()))


def _stored_round(row: Any) -> StoredRound:
    return StoredRound(RoundRecord.model_validate(row.record), row.version, row.plan, row.blob, row.checkpoint)


def _the_epoch(statement: Any, run: str, number: int) -> Any:
    return statement.where(EPOCHS.c.run == run, EPOCHS.c.number == number)


def _the_round(statement: Any, run: str, number: int) -> Any:
    return statement.where(ROUNDS.c.run == run, ROUNDS.c.number == number)


def _insert_requests(connection: Connection, run: str, epoch: int, number: int, stage: MessageKind, headers: Mapping[str, bytes]) -> None:
    rows = [
        {"run": run, "epoch": epoch, "round": number, "stage": stage, "institution": name, "header": header}
        for name, header in headers.items()
    ]
    if rows:
        connection.execute(insert(REQUESTS), rows)
