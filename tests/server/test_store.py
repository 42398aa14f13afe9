"""The coordinator's store: nothing is lost between two objects over the same database, and nothing half-written is seen.

All of it on SQLite and on a real PostgreSQL server.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import text

from server.database import open_engine
from server.events import PhaseStarted, RunFinished
from server.records import Epoch, RoundRecord, Span, StoredRound
from server.store import Store
from shared.errors import ResourceError, RunError
from tests.support.postgres import Server

_NUMBERS = itertools.count(1)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.sqlite'}"
    server: Server = request.getfixturevalue("postgres")
    return server.fresh(f"store{next(_NUMBERS)}").url


Opened = Callable[[], Store]


@pytest.fixture
def opened(url: str) -> Iterator[Opened]:
    """Opens the database anew at each call."""
    with ExitStack() as stack:

        def again() -> Store:
            store = Store(url)
            stack.callback(store.close)
            return store

        yield again


def stored(number: int, **changed: object) -> StoredRound:
    record = RoundRecord.model_validate({"number": number, "phase": "train", "cohort": ("ash", "elm"), "epoch": 1} | changed)
    return StoredRound(record, version=number - 1, plan=b"plan", blob="student.safetensors")


def test_a_run_is_remembered_with_its_configuration(opened: Opened) -> None:
    opened().start_run("trial", b"{}", b"digest")
    again = opened()
    assert again.run_config("trial") == (b"{}", b"digest")
    assert again.run_status("trial") == ("running", "")
    assert again.run_config("other") is None
    again.finish_run("trial", "artifact")
    assert opened().run_status("trial") == ("finished", "artifact")
    assert again.runs() == ("trial",)


def test_only_finished_runs_are_counted(opened: Opened) -> None:
    store = opened()
    for name in ("a", "b", "c"):
        store.start_run(name, b"{}", b"digest")
    assert store.finished_runs() == 0
    store.finish_run("b", "artifact")
    store.finish_run("c", "artifact")
    assert opened().finished_runs() == 2


def test_an_epoch_keeps_its_requests_until_it_is_open(opened: Opened) -> None:
    store = opened()
    epoch = Epoch(number=1, first_round=1, asked=("ash", "elm"))
    store.begin_epoch("trial", epoch, {"ash": b"a", "elm": b"e"})
    assert opened().epochs("trial") == (epoch,)
    assert opened().requests("trial", 1, 0, "open") == {"ash": b"a", "elm": b"e"}
    made = Epoch(number=1, first_round=1, asked=("ash", "elm"), status="open", keys={"ash": b"key"}, refused={"elm": "no"})
    store.open_epoch("trial", made)
    assert opened().epochs("trial") == (made,)
    assert opened().requests("trial", 1, 0, "open") == {}


def test_an_open_round_is_found_with_its_requests_and_its_surviving_set(opened: Opened) -> None:
    store = opened()
    store.open_round("trial", stored(1), {"ash": b"t", "elm": b"t"})
    settled = stored(1, survivors=("ash",)).record
    store.save_requests("trial", settled, "agree", {"ash": b"agree"})
    again = opened()
    assert again.rounds("trial", "open")[0].record.survivors == ("ash",)
    assert again.rounds("trial", "open")[0].plan == b"plan"
    assert again.requests("trial", 1, 1, "train") == {"ash": b"t", "elm": b"t"}
    assert again.requests("trial", 1, 1, "agree") == {"ash": b"agree"}
    assert again.requests("trial", 1, 1, "unmask") == {}


def test_rounds_are_found_by_the_student_that_they_carried(opened: Opened) -> None:
    store = opened()
    for number in (1, 2, 3):
        store.open_round("trial", stored(number), {})
    assert [found.version for found in opened().rounds("trial", since_version=1)] == [1, 2]


def test_a_settled_round_keeps_its_record_and_drops_its_requests(opened: Opened) -> None:
    store = opened()
    store.open_round("trial", stored(1), {"ash": b"t"})
    record = stored(1, status="closed", counters={"eval_records": (3,)}, metrics={"accuracy": 0.5}).record
    store.settle_round("trial", record, "state-r000001.safetensors")
    (closed,) = opened().rounds("trial", "closed")
    assert closed.record == record
    assert closed.checkpoint == "state-r000001.safetensors"
    assert store.requests("trial", 1, 1, "train") == {}
    assert store.rounds("trial", "open") == ()
    assert store.newest_round("trial") == closed
    assert store.newest_round("other") is None


def test_requests_and_surviving_set_are_one_transaction(opened: Opened) -> None:
    store = opened()
    store.open_round("trial", stored(1), {"ash": b"t"})
    store.save_requests("trial", stored(1).record, "agree", {"ash": b"first"})
    with pytest.raises(ResourceError):
        store.save_requests("trial", stored(1, survivors=("ash",)).record, "agree", {"ash": b"second"})
    assert store.rounds("trial")[0].record.survivors == ()
    assert store.requests("trial", 1, 1, "agree") == {"ash": b"first"}


def test_events_are_read_in_order_and_from_any_place(opened: Opened) -> None:
    store = opened()
    store.add_event("trial", 1.5, PhaseStarted(phase="train"))
    store.add_event("other", 2.0, PhaseStarted(phase="gate"))
    store.add_event("trial", 3.0, RunFinished(run="trial", artifact="a"))
    events = opened().events("trial")
    assert [(time, event.kind) for _, time, event in events] == [(1.5, "phase-started"), (3.0, "run-finished")]
    assert [event.kind for _, _, event in store.events("trial", after=events[0][0])] == ["run-finished"]


def test_a_store_of_another_version_is_refused(url: str, opened: Opened) -> None:
    opened()
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE fedstill_schema SET version = 99"))
    engine.dispose()
    with pytest.raises(RunError, match="has schema 99"):
        opened()


def test_names_come_in_the_same_order_from_any_database(opened: Opened) -> None:
    store = opened()
    names = ["a-b", "a_b", "aB", "ab", "B", "é", "Z", "z"]
    for name in names:
        store.start_run(name, b"{}", b"digest")
    store.begin_epoch("ab", Epoch(number=1, first_round=1, asked=tuple(names)), dict.fromkeys(reversed(names), b"open"))
    assert store.runs() == tuple(sorted(names))
    assert list(store.requests("ab", 1, 0, "open")) == sorted(names)
    store.open_epoch("ab", Epoch(number=1, first_round=1, asked=tuple(names), status="open", keys=dict.fromkeys(reversed(names), b"k")))
    assert list(store.epochs("ab")[0].keys) == sorted(names)


def test_what_is_stored_comes_back_byte_for_byte(opened: Opened) -> None:
    every = bytes(range(256)) * 4000
    store = opened()
    store.start_run("trial", every, every[:32])
    record = stored(1, reason="“quoted” \\ \n 名", metrics={"loss": 1e-300, "accuracy": 0.1 + 0.2}, seconds={"train": 1 / 3}).record
    store.open_round("trial", StoredRound(record, version=0, plan=every, blob="b"), {"ash": every})
    again = opened()
    assert again.run_config("trial") == (every, every[:32])
    assert again.rounds("trial")[0] == StoredRound(record, version=0, plan=every, blob="b")
    assert again.requests("trial", 1, 1, "train") == {"ash": every}


def test_a_store_may_be_made_by_several_at_once(opened: Opened) -> None:
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: opened(), range(8)))
    stores[0].start_run("trial", b"", b"")
    assert all(store.runs() == ("trial",) for store in stores)


def test_events_come_in_pieces_too(opened: Opened) -> None:
    store = opened()
    for phase in ("train", "calibrate-range", "gate"):
        store.add_event("one", 1.0, PhaseStarted(phase=phase))
    whole = store.events("one")
    assert store.events("one", most=2) == whole[:2]
    assert store.events("one", whole[1][0], most=2) == whole[2:]


def test_the_span_of_a_run_s_events_and_of_all(opened: Opened) -> None:
    store = opened()
    assert store.span() == Span(None, None, 0)
    for run, time in (("one", 2.0), ("other", 1.0), ("one", 5.0)):
        store.add_event(run, time, PhaseStarted(phase="train"))
    one, everything = store.span("one"), store.span()
    assert (one.first, one.last) == (2.0, 5.0)
    assert (everything.first, everything.last, everything.newest) == (1.0, 5.0, one.newest)
    assert store.span("none") == Span(None, None, 0)
    assert one.newest == store.events("one")[-1][0]
