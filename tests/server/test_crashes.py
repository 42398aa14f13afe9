"""The coordinator is killed at every point where it sends, hears, writes or tells something; the student stays the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import server.coordinator
import server.planning
import server.state
from client.app import make_app
from fedstill.simulation import Vanish
from server.coordinator import RunResult
from server.events import Event
from server.flower import GridExchange
from server.store import Store
from shared.exchange import Again, Answer, MessageKind, Request, never_again
from tests.support.small import SmallFederation, SmallWorkbench, digest_of, make_federation, undisturbed

FIRST_TRAINING_ROUND = 3
WRITES = ("start_run", "begin_epoch", "open_epoch", "open_round", "save_requests", "settle_round", "finish_run")


class Killed(BaseException):
    """As final as a kill: nothing that a program catches."""


class Killer:
    """Kills at every point the first time it is reached, so that a run restarted often enough has died at all of them."""

    def __init__(self) -> None:
        self.died_at: set[object] = set()
        self.armed = True
        self.only_round: int | None = None

    def point(self, *name: object) -> None:
        here = self.only_round is None or self.only_round in _flat(name)
        if self.armed and here and name not in self.died_at:
            self.died_at.add(name)
            raise Killed(str(name))

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        calls = [0]

        def wrapped(*arguments: Any, **named: Any) -> Any:
            where = (name, _where(arguments))
            self.point("before", *where)
            result = call(*arguments, **named)
            calls[0] += 1
            self.point("after", *where)
            return result

        return wrapped


def _flat(name: object) -> Iterator[object]:
    if isinstance(name, tuple):
        for part in name:
            yield from _flat(part)
    else:
        yield name


def _where(arguments: tuple[Any, ...]) -> object:
    # The round number and stage tell one call from another; a store's own reference does not.
    marks = []
    for argument in arguments[1:]:
        record = getattr(argument, "record", argument)
        marks.append(getattr(record, "number", argument if isinstance(argument, str | int) else ""))
    return tuple(marks)


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Killer:
    made = Killer()
    for name in WRITES:
        monkeypatch.setattr(Store, name, made.around(name, getattr(Store, name)))
    for module in (server.planning, server.state):
        monkeypatch.setattr(module, "write_atomic", made.around("write_atomic", module.write_atomic))
    plain_ask = GridExchange.ask

    def ask(
        self: GridExchange, requests: Mapping[str, Request], deadline_s: float, again: Again = never_again
    ) -> Iterator[tuple[str, Answer]]:
        kind, number = next((request.kind, request.round) for request in requests.values())
        made.point("ask", kind, number)
        for heard, (name, answer) in enumerate(plain_ask(self, requests, deadline_s, again)):
            yield name, answer
            made.point("heard", kind, number, heard)

    monkeypatch.setattr(GridExchange, "ask", ask)
    return made


def run_until_done(federation: SmallFederation, killer: Killer, **options: Any) -> RunResult:
    def watch(event: Event) -> None:
        if event.kind in ("round-closed", "round-void", "epoch-opened"):
            killer.point("told", event.kind, getattr(event, "number", 0))

    for _ in range(1000):
        try:
            return federation.run(watch=watch, **options)
        except Killed:
            continue
    raise AssertionError("the run never ended")


def test_a_coordinator_killed_everywhere_gives_the_same_student(tmp_path: Path, killer: Killer) -> None:
    killer.armed = False
    expected = undisturbed(3, 2)
    killer.armed = True
    result = run_until_done(make_federation(tmp_path, 3, rounds=2), killer)
    assert digest_of(result) == expected
    assert len(killer.died_at) > 100, "it died often enough to mean something"
    assert [record.status for record in result.rounds] == ["closed"] * len(result.rounds), "and not one round was lost"


def test_a_coordinator_killed_everywhere_keeps_to_the_surviving_set(tmp_path: Path, killer: Killer) -> None:
    def faults(institution: str, number: int, stage: MessageKind) -> Vanish:
        return "after" if (institution, number, stage) == ("birch", 3, "train") else None

    killer.armed = False
    expected = make_federation(tmp_path / "plain", 4, rounds=1).run(faults=faults)
    killer.armed, killer.only_round = True, FIRST_TRAINING_ROUND
    result = run_until_done(make_federation(tmp_path / "killed", 4, rounds=1), killer, faults=faults)
    assert ("ask", "agree", 3) in killer.died_at
    assert digest_of(result) == digest_of(expected)
    assert result.rounds[2].survivors == ("ash", "cedar", "elm")


def test_a_lost_institution_that_is_back_after_the_crash_stays_lost_for_that_round(tmp_path: Path) -> None:
    def lost(institution: str, number: int, stage: MessageKind) -> Vanish:
        return "before" if (institution, number, stage) == ("birch", 3, "train") else None

    federation = make_federation(tmp_path / "killed", 4, rounds=1)

    def kill_at_unmask(institution: str, number: int, stage: MessageKind) -> Vanish:
        if (number, stage) == (3, "unmask"):
            raise Killed
        return lost(institution, number, stage)

    with pytest.raises(Killed):
        federation.run(faults=kill_at_unmask)
    result = federation.run()
    assert result.rounds[2].survivors == ("ash", "cedar", "elm")
    assert digest_of(result) == digest_of(make_federation(tmp_path / "plain", 4, rounds=1).run(faults=lost))


def test_an_institution_restarted_before_every_message_gives_the_same_student(tmp_path: Path) -> None:
    def forgetful(message: Any, context: Any) -> Any:
        return make_app(SmallWorkbench)(message, context)

    assert digest_of(make_federation(tmp_path, 4).run(client_app=forgetful)) == undisturbed(4, 2)
