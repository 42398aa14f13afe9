"""The tables of the coordinator's store, and the one version of them that this code can read."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Integer, LargeBinary, MetaData, String, Table

SCHEMA_VERSION = 1
"""Raised with every change of the tables; a store of another version is refused, never guessed at."""

METADATA = MetaData()

SCHEMA = Table("fedstill_schema", METADATA, Column("version", Integer, primary_key=True))

RUNS = Table(
    "runs",
    METADATA,
    Column("run", String(200), primary_key=True),
    Column("config", LargeBinary, nullable=False),
    Column("roster_digest", LargeBinary, nullable=False),
    Column("status", String(16), nullable=False),
    Column("artifact", String(4096), nullable=False, default=""),
)

EPOCHS = Table(
    "epochs",
    METADATA,
    Column("run", String(200), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("first_round", Integer, nullable=False),
    Column("asked", JSON, nullable=False),
    Column("refused", JSON, nullable=False),
    Column("status", String(16), nullable=False),
)

EPOCH_KEYS = Table(
    "epoch_keys",
    METADATA,
    Column("run", String(200), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("institution", String(64), primary_key=True),
    Column("key", LargeBinary, nullable=False),
)

ROUNDS = Table(
    "rounds",
    METADATA,
    Column("run", String(200), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("phase", String(32), nullable=False),
    Column("version", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("plan", LargeBinary, nullable=False),
    Column("blob", String(200), nullable=False),
    Column("status", String(16), nullable=False),
    Column("checkpoint", String(200), nullable=False, default=""),
    Column("record", JSON, nullable=False),
)

REQUESTS = Table(
    "requests",
    METADATA,
    Column("run", String(200), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("stage", String(16), primary_key=True),
    Column("institution", String(64), primary_key=True),
    Column("header", LargeBinary, nullable=False),
)

EVENTS = Table(
    "events",
    METADATA,
    Column("sequence", Integer, primary_key=True, autoincrement=True),
    Column("run", String(200), nullable=False, index=True),
    Column("time", Float, nullable=False),
    Column("event", JSON, nullable=False),
)
