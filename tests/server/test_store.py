"""The coordinator's store: nothing is lost between two objects over the same file, and nothing half-written is seen."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from server.events import PhaseStarted, RunFinished
from server.records import Epoch, RoundRecord, StoredRound
from server.store import Store
from shared.errors import ResourceError, RunError


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.sqlite'}"


def stored(number: int, **changed: object) -> StoredRound:
    record = RoundRecord.model_validate({"number": number, "phase": "train", "cohort": ("ash", "elm"), "epoch": 1} | changed)
    return StoredRound(record, version=number - 1, plan=b"plan", blob="student.safetensors")


def test_a_run_is_remembered_with_its_configuration(url: str) -> None:
    Store(url).start_run("trial", b"{}", b"digest")
    again = Store(url)
    assert again.run_config("trial") == (b"{}", b"digest")
    assert again.run_status("trial") == ("running", "")
    assert again.run_config("other") is None
    again.finish_run("trial", "artifact")
    assert Store(url).run_status("trial") == ("finished", "artifact")
    assert again.runs() == ("trial",)


def test_only_finished_runs_are_counted(url: str) -> None:
    store = Store(url)
    for name in ("a", "b", "c"):
        assert store.finished_runs() == len(store.runs()) - (name > "a")
        store.start_run(name, b"{}", b"digest")
        if name > "a":
            store.finish_run(name, "artifact")
    assert Store(url).finished_runs() == 2


def test_an_epoch_keeps_its_requests_until_it_is_open(url: str) -> None:
    store = Store(url)
    epoch = Epoch(number=1, first_round=1, asked=("ash", "elm"))
    store.begin_epoch("trial", epoch, {"ash": b"a", "elm": b"e"})
    assert Store(url).epochs("trial") == (epoch,)
    assert Store(url).requests("trial", 1, 0, "open") == {"ash": b"a", "elm": b"e"}
    opened = Epoch(number=1, first_round=1, asked=("ash", "elm"), status="open", keys={"ash": b"key"}, refused={"elm": "no"})
    store.open_epoch("trial", opened)
    assert Store(url).epochs("trial") == (opened,)
    assert Store(url).requests("trial", 1, 0, "open") == {}


def test_an_open_round_is_found_with_its_requests_and_its_surviving_set(url: str) -> None:
    store = Store(url)
    store.open_round("trial", stored(1), {"ash": b"t", "elm": b"t"})
    settled = stored(1, survivors=("ash",)).record
    store.save_requests("trial", settled, "agree", {"ash": b"agree"})
    again = Store(url)
    assert again.rounds("trial", "open")[0].record.survivors == ("ash",)
    assert again.rounds("trial", "open")[0].plan == b"plan"
    assert again.requests("trial", 1, 1, "train") == {"ash": b"t", "elm": b"t"}
    assert again.requests("trial", 1, 1, "agree") == {"ash": b"agree"}
    assert again.requests("trial", 1, 1, "unmask") == {}


def test_rounds_are_found_by_the_student_that_they_carried(url: str) -> None:
    store = Store(url)
    for number in (1, 2, 3):
        store.open_round("trial", stored(number), {})
    assert [found.version for found in Store(url).rounds("trial", since_version=1)] == [1, 2]


def test_a_settled_round_keeps_its_record_and_drops_its_requests(url: str) -> None:
    store = Store(url)
    store.open_round("trial", stored(1), {"ash": b"t"})
    record = stored(1, status="closed", counters={"eval_records": (3,)}, metrics={"accuracy": 0.5}).record
    store.settle_round("trial", record, "state-r000001.safetensors")
    (closed,) = Store(url).rounds("trial", "closed")
    assert closed.record == record
    assert closed.checkpoint == "state-r000001.safetensors"
    assert store.requests("trial", 1, 1, "train") == {}
    assert store.rounds("trial", "open") == ()
    assert store.newest_round("trial") == closed
    assert store.newest_round("other") is None


def test_requests_and_surviving_set_are_one_transaction(url: str) -> None:
    store = Store(url)
    store.open_round("trial", stored(1), {"ash": b"t"})
    store.save_requests("trial", stored(1).record, "agree", {"ash": b"first"})
    with pytest.raises(ResourceError):
        store.save_requests("trial", stored(1, survivors=("ash",)).record, "agree", {"ash": b"second"})
    assert store.rounds("trial")[0].record.survivors == ()
    assert store.requests("trial", 1, 1, "agree") == {"ash": b"first"}


def test_events_are_read_in_order_and_from_any_place(url: str) -> None:
    store = Store(url)
    store.add_event("trial", 1.5, PhaseStarted(phase="train"))
    store.add_event("other", 2.0, PhaseStarted(phase="gate"))
    store.add_event("trial", 3.0, RunFinished(run="trial", artifact="a"))
    events = Store(url).events("trial")
    assert [(time, event.kind) for _, time, event in events] == [(1.5, "phase-started"), (3.0, "run-finished")]
    assert [event.kind for _, _, event in store.events("trial", after=events[0][0])] == ["run-finished"]


def test_a_store_of_another_version_is_refused(url: str, tmp_path: Path) -> None:
    Store(url).close()
    with sqlite3.connect(tmp_path / "store.sqlite") as connection:
        connection.execute("UPDATE fedstill_schema SET version = 99")
    connection.close()
    with pytest.raises(RunError, match="has schema 99"):
        Store(url)


def test_a_store_may_be_made_by_several_at_once(url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(Store, [url] * 8))
    stores[0].start_run("trial", b"", b"")
    assert all(store.runs() == ("trial",) for store in stores)


def test_an_error_does_not_show_the_database_password() -> None:
    with pytest.raises(ResourceError) as caught:
        Store("sqlite://user:secret@/nowhere/at/all.sqlite?mode=ro")
    assert "secret" not in str(caught.value)
