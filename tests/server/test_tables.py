"""The tables are those that their version says, fit what is put into them, and can be made in both databases."""

from __future__ import annotations

import hashlib
from typing import get_args

from sqlalchemy import String, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

from server.records import EpochStatus, RoundStatus, RunStatus
from server.state import PhaseName
from server.tables import EPOCH_KEYS, EPOCHS, EVENTS, METADATA, REQUESTS, ROUNDS, RUNS, SCHEMA_VERSION
from shared.exchange import MessageKind

VERSIONS = {1: "6b666f30359d5910f2197f532518270121b0287f66cb7c87ce8fb698763b7df9"}
"""Schema version → SHA-256 of its tables. Whoever changes a table gives the next version its line; an old line never changes."""


def ddl(dialect: object) -> str:
    return "\n".join(str(CreateTable(table).compile(dialect=dialect)) for table in METADATA.sorted_tables)  # type: ignore[arg-type]


def form() -> str:
    """All tables' columns: what a store on disk has, whatever the release of SQLAlchemy makes of it."""
    columns = [
        (table.name, one.name, str(one.type), one.primary_key, one.nullable) for table in METADATA.sorted_tables for one in table.columns
    ]
    return "\n".join(map(repr, sorted(columns)))


def longest(table: Table, column: str) -> int:
    kind = table.c[column].type
    assert isinstance(kind, String)
    assert kind.length is not None
    return kind.length


def test_no_table_changes_without_a_new_version() -> None:
    assert max(VERSIONS) == SCHEMA_VERSION
    assert hashlib.sha256(form().encode()).hexdigest() == VERSIONS[SCHEMA_VERSION]


def test_both_databases_can_make_them() -> None:
    for dialect in (sqlite.dialect(), postgresql.dialect()):
        assert ddl(dialect).count("CREATE TABLE") == len(METADATA.tables)


def test_every_name_fits_its_column_where_a_database_would_cut_or_refuse_it() -> None:
    # SQLite takes any length, PostgreSQL none that is longer.
    for table, column, names in (
        (ROUNDS, "status", get_args(RoundStatus)),
        (EPOCHS, "status", get_args(EpochStatus)),
        (RUNS, "status", get_args(RunStatus)),
        (ROUNDS, "phase", get_args(PhaseName)),
        (REQUESTS, "stage", get_args(MessageKind)),
    ):
        assert max(map(len, names)) <= longest(table, column)
    for table in (EPOCH_KEYS, REQUESTS):
        # shared.config.Name: 63 characters.
        assert longest(table, "institution") >= 63


def test_nothing_of_one_run_is_another_s() -> None:
    for table in (RUNS, EPOCHS, EPOCH_KEYS, ROUNDS, REQUESTS):
        assert table.primary_key.columns.keys()[0] == "run"
        assert longest(table, "run") == longest(EVENTS, "run")
