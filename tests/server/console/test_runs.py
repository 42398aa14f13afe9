from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.console.paths import is_console_call
from server.console.runs import A_PAGE, RunReader, link_of
from server.events import PhaseStarted, RunStarted, RunStopped
from server.records import RoundRecord, RoundStatus, StoredRound
from server.site import CoordinatorSite
from shared.errors import MissingFileError
from shared.files import write_atomic
from tests.support.console import played
from tests.support.small import make_federation


def test_a_finished_run_in_a_line(tmp_path: Path) -> None:
    site = CoordinatorSite(played(tmp_path).coordinator)
    (line,) = RunReader(site).page().runs
    assert (line.run, line.link, line.status, line.rounds, line.closed, line.void) == ("trial", "trial", "finished", 2, 7, 0)
    assert (line.institutions, line.has_artifact) == (3, True)
    assert line.began is not None
    assert line.newest is not None
    assert line.began <= line.newest


def test_what_is_kept_follows_the_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = CoordinatorSite(played(tmp_path).coordinator)
    reader = RunReader(site)
    before, records = reader.picture("trial"), reader.records("trial")
    before.members.clear()
    assert set(reader.picture("trial").members) == {"ash", "birch", "cedar"}, "nobody changes what is kept"
    monkeypatch.setattr(site.store, "records", lambda *_: pytest.fail("nothing has happened since"))
    assert reader.records("trial") is records
    monkeypatch.undo()
    site.store.add_event("trial", 1.0, RunStopped(run="trial", closed_rounds=7))
    assert reader.picture("trial").state == "stopped"
    assert reader.records("trial") == records


def test_a_picture_in_pieces_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = CoordinatorSite(played(tmp_path).coordinator)
    whole = RunReader(site).picture("trial")
    monkeypatch.setattr("server.console.runs.AT_ONCE", 3)
    assert RunReader(site).picture("trial") == whole


def test_what_is_settled_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = CoordinatorSite(make_federation(tmp_path, 3).coordinator)
    site.store.start_run("trial", b"{}", b"")
    reader, asked = RunReader(site), list[int]()
    read = site.store.records

    def records(run: str, since: int = 0) -> tuple[RoundRecord, ...]:
        asked.append(since)
        return read(run, since)

    monkeypatch.setattr(site.store, "records", records)

    def happens(number: int, status: RoundStatus) -> list[str]:
        record = RoundRecord(number=number, phase="train", status=status)
        if status == "open":
            site.store.open_round("trial", StoredRound(record, 0, b"", ""), {})
        else:
            site.store.settle_round("trial", record)
        site.store.add_event("trial", 1.0, PhaseStarted(phase="train"))
        return [found.status for found in reader.records("trial")]

    assert happens(1, "open") == ["open"]
    assert happens(1, "void") == ["void"]
    assert happens(2, "open") == ["void", "open"]
    assert happens(2, "closed") == ["void", "closed"]
    assert asked == [0, 0, 2, 2]


def test_runs_that_are_planned_running_and_many(tmp_path: Path) -> None:
    site = CoordinatorSite(make_federation(tmp_path, 3).coordinator)
    reader = RunReader(site)
    assert (reader.page().runs, reader.page().pages) == ((), 1)
    write_atomic(site.run_folder("planned") / "plan.json", b"{}")
    assert [line.status for line in reader.page().runs] == ["planned"]
    for number in range(A_PAGE + 1):
        site.store.start_run(f"run-{number:02d}", b"{}", b"")
        site.store.add_event(f"run-{number:02d}", float(number), RunStarted(run="x", roster=("ash",), rounds=3, resumed=False))
    site.store.add_event("run-00", 99.0, PhaseStarted(phase="train"))
    first, last = reader.page(1), reader.page(99)
    assert [line.run for line in first.runs[:2]] == ["run-00", f"run-{A_PAGE}"], "the one in which something happened last"
    assert (first.runs[0].status, first.runs[0].phase) == ("running", "train")
    assert (last.page, last.pages, [line.run for line in last.runs]) == (2, 2, ["run-01", "planned"])


def test_a_run_is_looked_up_and_never_a_path(tmp_path: Path) -> None:
    site = CoordinatorSite(make_federation(tmp_path, 3).coordinator)
    reader, odd = RunReader(site), "../../etc <b>"
    site.store.start_run(odd, b"{}", b"")
    assert reader.named(link_of(odd)) == odd
    for link in (odd, "..", "", "trial", "%2e%2e"):
        with pytest.raises(MissingFileError):
            reader.named(link)


@given(st.text(min_size=1, max_size=100))
def test_every_name_has_an_address_that_the_gateway_lets_through(run: str) -> None:
    assert is_console_call("GET", f"/console/runs/{link_of(run)}".encode(), b"")
