"""Which database the store is in, and that no error about it shows a password."""

from __future__ import annotations

import traceback
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from server.database import SQLITE_FILE, URL_FILE, explained, named_url, open_engine, shown, store_url
from server.site import CoordinatorSite
from server.store import Store
from shared.errors import ConfigError, IdentityError, ResourceError
from shared.files import write_atomic
from shared.processes import free_port
from tests.support.postgres import Server
from tests.support.small import digest_of, make_federation, undisturbed


def write_url(folder: Path, content: str, mode: int = 0o600) -> None:
    write_atomic(folder / URL_FILE, content.encode(), mode=mode)


def test_without_a_file_the_store_is_sqlite_in_the_folder(tmp_path: Path) -> None:
    assert named_url(tmp_path) is None
    assert store_url(tmp_path) == f"sqlite:///{tmp_path / SQLITE_FILE}"


def test_the_file_names_the_database(tmp_path: Path) -> None:
    write_url(tmp_path, "\n  sqlite:////elsewhere/store.sqlite \r\n\n")
    assert store_url(tmp_path) == "sqlite:////elsewhere/store.sqlite"


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    write_url(tmp_path, "postgresql://me:secret@db/fedstill", mode=0o644)
    with pytest.raises(IdentityError, match="chmod 600") as caught:
        store_url(tmp_path)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "\n\n", "postgresql://a:secret@b/c\npostgresql://a:secret@b/d\n"])
def test_a_file_that_is_no_single_line_is_refused(content: str, tmp_path: Path) -> None:
    write_url(tmp_path, content)
    with pytest.raises(ConfigError, match="should have one") as caught:
        store_url(tmp_path)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "secret",
        "postgresql:/me:secret@db/fedstill",
        "postgresql://me:secret@db:secret/fedstill",
        "postgresql://me:se/secret@db/fedstill",
        "postgresql://me:12/secret@db/fedstill",
        "postgresql://me:12?secret@db/fedstill",
        "postgresql://me:p@secret@db/fedstill",
        "postgresql://me:pass@db/fedstill?password=secret@x",
        "nosuch://me:secret@db/fedstill",
        "postgresql+nosuch://me:secret@db/fedstill",
        "sqlite://me:secret@/nowhere/at/all.sqlite?mode=ro",
    ],
)
def test_a_bad_url_is_one_sentence_without_the_password(url: str) -> None:
    with pytest.raises(ResourceError) as caught:
        Store(url)
    said = "".join(traceback.format_exception(caught.value))
    assert "secret" not in said.replace(repr(url), "")
    assert "\n" not in str(caught.value)


def test_options_are_not_shown_for_they_may_be_secrets() -> None:
    engine = open_engine("postgresql://me:secret@db:5432/fedstill?password=secret&sslpassword=secret")
    assert shown(engine) == "postgresql+psycopg://me:***@db:5432/fedstill"


@pytest.mark.parametrize("kind", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_usual_name_of_postgresql_is_understood(kind: str) -> None:
    assert open_engine(f"{kind}://me@db/fedstill").driver == "psycopg"


def test_a_wrong_password_is_one_sentence_without_it(postgres: Server) -> None:
    with pytest.raises(ResourceError, match="password authentication failed for user") as caught:
        Store(replace(postgres, password="the-wrong-secret").url)
    assert "the-wrong-secret" not in str(caught.value)
    assert str(caught.value).endswith(f"check the server, and user and password in {URL_FILE}")
    assert "\n" not in str(caught.value)


def test_a_server_that_is_down_and_a_database_that_is_not_there_are_named(postgres: Server) -> None:
    with pytest.raises(ResourceError, match="efused") as caught:
        Store(replace(postgres, port=free_port()).url)
    assert postgres.password not in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ResourceError, match='database "nobody" does not exist'):
        Store(replace(postgres, database="nobody").url)


def test_a_connection_that_the_server_has_closed_is_made_anew(postgres: Server) -> None:
    store = Store(postgres.fresh("cut").url)
    store.start_run("trial", b"{}", b"digest")
    engine = open_engine(postgres.url)
    with explained(engine), engine.begin() as connection:
        ended = connection.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'cut'")).all()
    assert ended
    engine.dispose()
    assert store.runs() == ("trial",)
    store.close()


def test_a_run_on_postgresql_ends_with_the_student_of_a_run_on_sqlite(postgres: Server, tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 3, rounds=2)
    write_url(federation.coordinator, postgres.fresh("run").url)
    assert digest_of(federation.run()) == undisturbed(3, 2)
    assert not (federation.coordinator / SQLITE_FILE).exists()
    store = CoordinatorSite(federation.coordinator).store
    assert store.run_status("trial") == ("finished", "artifact")
    store.close()
