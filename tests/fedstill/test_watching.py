"""The picture of a run is what its events say, whenever one begins to look."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from fedstill.simulation import Vanish
from fedstill.watching import draw, newest_run, open_store, watch
from server.events import (
    BudgetSpent,
    EpochOpened,
    InstitutionAbsent,
    InstitutionRefused,
    PrivacyStated,
    RoundStarted,
    RoundVoid,
    RunStarted,
    RunStopped,
)
from server.picture import Picture
from shared.errors import MissingFileError, RunError
from shared.exchange import MessageKind
from tests.support.small import SmallFederation, make_federation


def one_is_lost(institution: str, number: int, stage: MessageKind) -> Vanish:
    return "before" if (institution, number, stage) == ("birch", 3, "train") else None


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> SmallFederation:
    federation = make_federation(tmp_path_factory.mktemp("run"), 4)
    federation.run("first")
    federation.run("second", faults=one_is_lost)
    return federation


def drawn(picture: Picture) -> str:
    out = io.StringIO()
    Console(file=out, width=120).print(draw(picture))
    return out.getvalue()


def test_a_finished_run(played: SmallFederation) -> None:
    store = open_store(played.coordinator)
    assert newest_run(store, None) == "second"
    assert newest_run(store, "first") == "first"
    out = io.StringIO()
    picture = watch(store, "second", Console(file=out, width=120))
    store.close()
    assert (picture.state, picture.closed, picture.void) == ("finished", 7, 0)
    assert (picture.members["birch"].missed, picture.members["ash"].missed) == (1, 0)
    assert picture.members["ash"].bytes_up > 0
    said = out.getvalue()
    assert "second is finished" in said
    assert "accuracy" in said
    assert "signed artifact" in said


def test_it_goes_on_until_the_run_is_finished(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 3, rounds=1)
    with pytest.raises(MissingFileError, match="has no store"):
        open_store(federation.coordinator)
    slept: list[float] = []

    def stop(event: object) -> None:
        if getattr(event, "kind", "") == "round-closed":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        federation.run(watch=stop)
    store = open_store(federation.coordinator.parent)

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        federation.run()

    picture = watch(store, "trial", Console(file=io.StringIO()), sleep=sleep)
    assert picture.finished
    assert len(slept) == 1
    assert watch(store, "trial", Console(file=io.StringIO()), once=True).finished
    store.close()


def test_no_run_and_no_such_run(tmp_path: Path, played: SmallFederation) -> None:
    from server.store import Store

    empty = Store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    with pytest.raises(RunError, match="no run was begun"):
        newest_run(empty, None)
    empty.close()
    store = open_store(played.coordinator)
    with pytest.raises(RunError, match="there are: first, second"):
        newest_run(store, "third")
    store.close()


def test_what_is_in_the_picture() -> None:
    picture = Picture()
    assert "not begun" in drawn(picture)
    picture.see(RunStarted(run="trial", roster=("ash", "elm"), rounds=3, resumed=False))
    picture.see(PrivacyStated(epsilon=8.0, delta=1e-5, rounds=3))
    picture.see(RoundStarted(number=4, phase="train", cohort=("ash",), training_round=2))
    picture.see(InstitutionRefused(number=4, institution="ash", stage="train", code="PolicyRefusal", reason="no [/bold] more"))
    said = drawn(picture)
    assert "trial is running: train, round 4, training round 2 of 3" in said
    assert "ε ≤ 8" in said
    assert "refused: no [/bold] more" in said
    assert "not in the cohort" in said
    picture.see(BudgetSpent(epsilon=8.0, delta=1e-5, rounds=2))
    picture.see(RunStopped(run="trial", closed_rounds=1))
    assert "trial is stopped" in drawn(picture)
    assert "the budget is spent" in drawn(picture)


def test_what_an_institution_said_moves_no_cursor() -> None:
    """Neither in the table nor in the lines below it."""
    said = "no\x1b[2J\x9b2J\r\nash is here"
    picture = Picture()
    for event in (
        InstitutionRefused(number=1, institution="ash", stage="train", code="PolicyRefusal", reason=said),
        InstitutionAbsent(number=1, institution="birch", stage="train", reason=said),
        EpochOpened(epoch=1, members=("cedar",), refused={"ash": said}),
        RoundVoid(number=1, phase="train", reason=said),
    ):
        picture.see(event)
    shown = drawn(picture)
    assert not {"\x1b", "\x9b", "\r"} & set(shown)
    assert not any(line.startswith("ash is here") for line in shown.splitlines())
    assert len(picture.lines) == 5
