"""What every exchange promises, shown on the one over a Flower grid: each answer once, every wait bounded, errors told apart."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.proto.node_pb2 import NodeInfo
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects

from fedstill.simulation import Faults, LocalGrid, Vanish, no_faults
from server.flower import BUSY_TIMEOUT_MS, END_S, MOST_SENDS, SUPERLINK, GridExchange, end_quickly, main, pause, wait_for_the_database
from server.stopping import Interrupted, StopSignal
from shared.exchange import LARGEST_WHOLE, Absent, Again, Answer, MessageKind, Refusal, Reply, Request, never_again

NAMES = ("ash", "birch", "cedar")
Respond = Callable[[str, Message], Message]


def echo(_name: str, message: Message) -> Message:
    return Message(message.content, reply_to=message)


class Toy:
    """An exchange over a grid whose institutions do what ``respond`` says."""

    def __init__(self, respond: Respond = echo, faults: Faults = no_faults) -> None:
        app = ClientApp()

        def handle(message: Message, context: Context) -> Message:
            return respond(Path(str(context.node_config["institution-dir"])).name, message)

        app.train()(handle)
        app.query("agree")(handle)
        self.stop = StopSignal()
        self.grid = LocalGrid(app, {name: Path("homes") / name for name in NAMES}, faults=faults)
        self.exchange = GridExchange(self.grid, frozenset(NAMES), poll_s=0.001, stop=self.stop)

    def ask(
        self, kind: MessageKind = "train", blob: bytes = b"blob", deadline_s: float = 30.0, again: Again = never_again
    ) -> dict[str, Answer]:
        requests = {name: Request(kind, f"for {name}".encode(), blob, 7) for name in NAMES}
        answers = list(self.exchange.ask(requests, deadline_s, again))
        assert sorted(name for name, _ in answers) == sorted(NAMES), "each exactly once"
        return dict(answers)


@pytest.fixture
def toys() -> Iterator[Callable[..., Toy]]:
    made: list[Toy] = []

    def make(respond: Respond = echo, faults: Faults = no_faults) -> Toy:
        made.append(Toy(respond, faults))
        return made[-1]

    yield make
    for toy in made:
        toy.grid.close()


def test_members_are_found_by_the_names_of_their_nodes(toys: Callable[..., Toy]) -> None:
    assert toys().exchange.institutions() == set(NAMES)
    stranger = GridExchange(toys().grid, frozenset({"ash", "nobody"}))
    assert stranger.institutions() == {"ash"}


@pytest.mark.parametrize("blob", [b"", b"\0", bytes(range(256)) * 50_000], ids=["empty", "zero", "three chunks"])
@pytest.mark.parametrize("kind", ["train", "agree"])
def test_header_and_blob_arrive_as_they_were(kind: MessageKind, blob: bytes, toys: Callable[..., Toy]) -> None:
    answers = toys().ask(kind, blob)
    assert answers == {name: Reply(f"for {name}".encode(), blob) for name in NAMES}


@pytest.mark.parametrize(("spare", "objects"), [(0, 3), (1, 7)])
def test_what_is_small_travels_as_few_objects(spare: int, objects: int, toys: Callable[..., Toy]) -> None:
    """Each object of a message costs SuperLink a request or two, at each institution and at the coordinator."""
    counts: list[int] = []

    def count(name: str, message: Message) -> Message:
        # Flower's message around it is one more than what an app can see of it.
        counts.append(1 + len(get_all_nested_objects(message.content)))
        return echo(name, message)

    blob = bytes(LARGEST_WHOLE - len(b"for ash") + spare)
    assert toys(count).ask(blob=blob)["ash"] == Reply(b"for ash", blob)
    assert min(counts) == objects


def test_a_refusal_keeps_its_code_and_sentence(toys: Callable[..., Toy]) -> None:
    def refuse(name: str, message: Message) -> Message:
        if name != "birch":
            return echo(name, message)
        return Message(RecordDict({"refusal": ConfigRecord({"code": "PolicyRefusal", "reason": "no, thank you"})}), reply_to=message)

    assert toys(refuse).ask()["birch"] == Refusal("PolicyRefusal", "no, thank you")


def test_a_refusal_may_be_answered_with_another_request_at_once(toys: Callable[..., Toy]) -> None:
    def only_whole(name: str, message: Message) -> Message:
        lacks = name == "birch" and message.content.config_records["payload"]["blob"] != b"whole"
        refusal = RecordDict({"refusal": ConfigRecord({"code": "MissingBase", "reason": name})})
        return Message(refusal, reply_to=message) if lacks else echo(name, message)

    def again(name: str, refusal: Refusal) -> Request:
        assert (name, refusal.code) == ("birch", "MissingBase")
        return Request("train", b"for birch", b"whole", 7)

    answers = toys(only_whole).ask(again=again)
    assert answers["birch"] == Reply(b"for birch", b"whole")
    assert answers["ash"] == Reply(b"for ash", b"blob")


def test_a_failing_app_is_an_absence_that_shows_nothing_of_its_error(toys: Callable[..., Toy]) -> None:
    def fail(name: str, message: Message) -> Message:
        raise ValueError("patient 12 has diabetes")

    for answer in toys(fail).ask().values():
        assert isinstance(answer, Absent)
        assert "ValueError" in answer.reason
        assert "patient" not in answer.reason


def test_an_answer_of_another_form_is_an_absence(toys: Callable[..., Toy]) -> None:
    answers = toys(lambda name, message: Message(RecordDict(), reply_to=message)).ask()
    assert answers["ash"] == Absent("its answer has not the agreed form; is another release installed there?")


@pytest.mark.parametrize("vanish", ["before", "after"])
def test_one_that_vanishes_is_absent_at_once_and_the_others_answer(vanish: Vanish, toys: Callable[..., Toy]) -> None:
    seen: list[str] = []

    def note(name: str, message: Message) -> Message:
        seen.append(name)
        return echo(name, message)

    def faults(name: str, number: int, stage: MessageKind) -> Vanish:
        return vanish if (name, number, stage) == ("cedar", 7, "train") else None

    answers = toys(note, faults).ask()
    assert answers["cedar"] == Absent("its node went away")
    assert isinstance(answers["ash"], Reply)
    assert ("cedar" in seen) == (vanish == "after")


def test_answers_come_in_order_of_arrival_and_waiting_ends_at_the_deadline(toys: Callable[..., Toy]) -> None:
    def slow(name: str, message: Message) -> Message:
        if name == "ash":
            time.sleep(0.6)
        return echo(name, message)

    answers = toys(slow).ask(deadline_s=0.3)
    assert list(answers) == ["birch", "cedar", "ash"]
    assert answers["ash"] == Absent("no answer within 0.3 s")


def test_asking_ends_when_the_run_is_asked_to_stop(toys: Callable[..., Toy]) -> None:
    toy = toys()
    toy.stop.set()
    with pytest.raises(Interrupted):
        toy.ask()


class Flaky(LocalGrid):
    """A grid like a deployed one with a bad line: the first sends are lost, and a node is offline for a few looks."""

    losses = 2
    looks_offline = 0
    sends = 0

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        ids = []
        for message in messages:
            self.sends += 1
            identifier = f"lost-{self.sends}" if self.sends <= self.losses else self._push(message)
            if self.sends <= self.losses:
                message.metadata.__dict__["_message_id"] = identifier
                self._replies[identifier] = Message(Error(ErrorCode.NODE_UNAVAILABLE, "gone"), reply_to=message)
            ids.append(identifier)
        return ids

    def get_nodes(self) -> Iterable[NodeInfo]:
        self.looks_offline -= 1
        state = "offline" if self.looks_offline >= 0 else "online"
        return [NodeInfo(node_id=node, name=name, status=state) for node, name in self._nodes.items()]


def flaky(losses: int, *, patience_s: float = 1e9, looks_offline: int = 0) -> tuple[Answer, int]:
    app = ClientApp()
    app.train()(lambda message, context: echo("", message))
    grid = Flaky(app, {"ash": Path("ash")})
    grid.losses, grid.looks_offline = losses, looks_offline
    ticks = iter(range(1000))
    exchange = GridExchange(grid, frozenset({"ash"}), poll_s=0.001, patience_s=patience_s, clock=lambda: float(next(ticks)))
    try:
        ((_, answer),) = list(exchange.ask({"ash": Request("train", b"header")}, 900.0))
        return answer, grid.sends
    finally:
        grid.close()


def test_a_lost_message_is_sent_again_while_there_is_patience() -> None:
    assert flaky(2) == (Reply(b"header"), 3)
    assert flaky(1, patience_s=0.0) == (Absent("its node went away"), 1)


def test_a_node_that_is_offline_is_waited_for() -> None:
    answer, sends = flaky(0, looks_offline=3)
    assert (answer, sends) == (Reply(b"header"), 1)
    assert flaky(0, looks_offline=10**6, patience_s=5.0) == (Absent("it could not be reached"), 0)


def test_a_message_is_not_sent_again_for_ever() -> None:
    assert flaky(10**6) == (Absent("its node went away"), MOST_SENDS)


class Ending(Flaky):
    """A SuperLink that is being ended: each of the first calls of a kind is answered with an error of its own."""

    errors = 0
    status = 500

    def _fail(self) -> None:
        self.errors -= 1
        if self.errors >= 0:
            request = httpx.Request("POST", "https://127.0.0.1/v1/runtime/push-messages")
            raise httpx.HTTPStatusError("failed", request=request, response=httpx.Response(self.status, request=request))

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        self._fail()
        return super().push_messages(messages)

    def get_nodes(self) -> Iterable[NodeInfo]:
        self._fail()
        return super().get_nodes()

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        self._fail()
        return super().pull_messages(message_ids)


def ending(errors: int, status: int, monkeypatch: pytest.MonkeyPatch, *, tick: float = 1.0) -> Answer:
    monkeypatch.setattr("server.flower.RETRY_S", 0.001)
    app = ClientApp()
    app.train()(lambda message, context: echo("", message))
    grid = Ending(app, {"ash": Path("ash")})
    grid.losses, grid.errors, grid.status = 0, errors, status
    ticks = iter(range(100_000))
    exchange = GridExchange(grid, frozenset({"ash"}), poll_s=0.001, patience_s=1e9, clock=lambda: tick * next(ticks))
    try:
        ((_, answer),) = list(exchange.ask({"ash": Request("train", b"header")}, 9000.0))
        return answer
    finally:
        grid.close()


@pytest.mark.parametrize("errors", [1, 2, 3, 7])
def test_a_superlink_that_is_being_ended_is_asked_again(errors: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ending(errors, 503, monkeypatch) == Reply(b"header")


def test_its_errors_are_believed_in_the_end_and_a_refusal_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(httpx.HTTPStatusError):
        ending(10**6, 500, monkeypatch)
    with pytest.raises(httpx.HTTPStatusError):
        ending(1, 403, monkeypatch)


def test_looks_become_rarer_the_longer_one_waits() -> None:
    assert [pause(waited, 0.1) for waited in (0.0, 1.0, 10.0, 30.0, 600.0)] == [0.1, 0.1, 0.2, 0.6, 1.0]


@pytest.mark.filterwarnings("ignore:No path_separator found")
def test_a_superlink_waits_for_its_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reaches into Flower 1.41.0: another version must fail here and not lose runs of large students."""
    from flwr.supercore import sql_mixin
    from flwr.supercore.object_store.sql_object_store import SqlObjectStore
    from sqlalchemy import text

    monkeypatch.setattr(sql_mixin, "SQLITE_PRAGMAS", vars(sql_mixin)["SQLITE_PRAGMAS"])
    before = dict(vars(sql_mixin)["SQLITE_PRAGMAS"])
    wait_for_the_database()
    assert dict(vars(sql_mixin)["SQLITE_PRAGMAS"]) == before | {"busy_timeout": str(BUSY_TIMEOUT_MS)}
    store = SqlObjectStore(str(tmp_path / "state.db"))
    store.initialize()
    with store.session() as session:
        assert session.scalar(text("PRAGMA busy_timeout")) == BUSY_TIMEOUT_MS
        assert session.scalar(text("PRAGMA journal_mode")) == "wal"
    assert store._engine is not None
    store._engine.dispose()


def test_a_superlink_ends_without_waiting_for_open_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn.run, "__kwdefaults__", dict(uvicorn.run.__kwdefaults__))
    monkeypatch.setattr(sys.modules["uvicorn.main"], "Server", Seen)
    end_quickly()
    with pytest.raises(SystemExit):
        uvicorn.run("flwr.superlink.main:app", host="127.0.0.1", port=0, log_config=None)
    assert Seen.config.timeout_graceful_shutdown == END_S


class Seen:
    """In uvicorn's place: notes how it was to run, and does not."""

    config: uvicorn.Config

    def __init__(self, config: uvicorn.Config) -> None:
        Seen.config = config
        raise SystemExit


def test_the_command_line_is_flowers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from flwr.supercore import sql_mixin

    # Its package has a function of the module's own name.
    flowers = importlib.import_module("flwr.superlink.cli.flower_superlink")

    monkeypatch.setattr(sql_mixin, "SQLITE_PRAGMAS", vars(sql_mixin)["SQLITE_PRAGMAS"])
    monkeypatch.setattr(sys, "argv", ["pytest"])
    monkeypatch.setattr(flowers, "flower_superlink", lambda: None)
    monkeypatch.setattr(uvicorn.run, "__kwdefaults__", dict(uvicorn.run.__kwdefaults__))
    main([SUPERLINK, "--port", "8000"])
    assert sys.argv == [SUPERLINK, "--port", "8000"]
    with pytest.raises(SystemExit):
        main(["something-else"])
