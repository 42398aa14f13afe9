"""The worker runs what is installed, refuses what was pushed, and keeps an error's text at home."""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.common.constant import ErrorCode, Status, SubStatus
from flwr.proto.fleet_pb2 import ActivateNodeRequest, ActivateNodeResponse, DeactivateNodeRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable import inflatable_utils
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.nodestate import NodeState, NodeStateFactory

import client.flower
from client.flower import (
    AWAY_S,
    PULL_BACKOFF_S,
    allowed,
    answer,
    forget_what_did_not_arrive,
    leave_before_coming_back,
    poll_at,
    pull_quickly,
)
from client.pace import Pace
from shared.bundle import app_bundle, bundle_hash
from shared.errors import ResourceError

OURS = Fab(bundle_hash(), app_bundle(), {})
FOREIGN = Fab(hashlib.sha256(b"import os").hexdigest(), b"import os", {})
LIARS = [Fab(bundle_hash(), b"import os", {}), Fab(FOREIGN.hash_str, app_bundle(), {})]


@pytest.fixture
def message() -> Message:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    made = Message(RecordDict({"c": ConfigRecord({"n": 1})}), dst_node_id=7, message_type="train")
    made.metadata.__dict__["_message_id"] = "m1"
    return made


@pytest.fixture
def context() -> Context:
    return Context(1, 7, {}, RecordDict(), {})


def reply(message: Message, _: Context) -> Message:
    return Message(RecordDict({"c": ConfigRecord({"n": 2})}), reply_to=message)


def never(_: Message, __: Context) -> Message:
    raise AssertionError("the app must not be called")


def leak(_: Message, __: Context) -> Message:
    raise ValueError("patient 4711 is HIV positive")


def test_our_bundle_is_answered_by_the_installed_app(message: Message, context: Context) -> None:
    answered, failure = answer(reply, message, context, OURS)
    assert failure == ""
    assert answered.content["c"]["n"] == 2


@pytest.mark.parametrize("fab", [FOREIGN, *LIARS])
def test_any_other_bundle_is_refused_before_the_app_is_called(message: Message, context: Context, fab: Fab) -> None:
    assert not allowed(fab)
    answered, failure = answer(never, message, context, fab)
    assert failure == "refused"
    assert answered.error.code == ErrorCode.INVALID_FAB


def test_an_errors_text_stays_in_the_institution(message: Message, context: Context, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "fedstill.worker"):
        answered, failure = answer(leak, message, context, OURS)
    assert answered.error.code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION
    assert "4711" not in (answered.error.reason or "") + failure
    assert "ValueError" in (answered.error.reason or "")


def test_the_patches_find_what_they_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    """They reach into Flower 1.41.0: another version must fail here and not become slow in silence."""
    import flwr.supernode.start_client_internal as supernode

    monkeypatch.setattr(supernode, "time", vars(supernode)["time"])
    found = dict(inflatable_utils.pull_objects.__kwdefaults__ or {})
    # Whoever ran an app in this process before has quickened it already.
    assert found["initial_backoff"] in (1, PULL_BACKOFF_S)
    monkeypatch.setattr(inflatable_utils.pull_objects, "__kwdefaults__", {**found, "initial_backoff": 1})
    pull_quickly()
    assert (inflatable_utils.pull_objects.__kwdefaults__ or {})["initial_backoff"] == PULL_BACKOFF_S
    slept: list[float] = []
    poll_at(Pace(sleep=slept.append))
    vars(supernode)["time"].sleep(3)
    assert slept == [0.2]


@pytest.mark.parametrize("outcome", [None, 7])
def test_an_answer_to_what_did_not_arrive_is_not_taken_for_the_next_ones(
    monkeypatch: pytest.MonkeyPatch, message: Message, context: Context, outcome: int | None
) -> None:
    """The worker is quicker than the fetch, whose run then ends: its answer must not be sent in the next message's place."""
    import flwr.supernode.start_client_internal as supernode

    objects = ObjectStoreFactory()
    state = NodeStateFactory(objectstore_factory=objects).state()

    def fetch(*, state: NodeState, **_: object) -> int | None:
        early = reply(message, context)
        early.metadata.__dict__["_message_id"] = "r1"
        state.store_message(early)
        return outcome

    monkeypatch.setattr(supernode, "_pull_and_store_message", fetch)
    forget_what_did_not_arrive()
    assert vars(supernode)["_pull_and_store_message"](state=state, object_store=objects.store()) == outcome
    waiting = [found.metadata.message_id for found in state.get_messages_legacy(is_reply=True)]
    assert waiting == ([] if outcome is None else ["r1"])


@pytest.mark.parametrize("outcome", [None, 7])
def test_only_what_did_not_arrive_is_forgotten(monkeypatch: pytest.MonkeyPatch, outcome: int | None) -> None:
    import flwr.supernode.start_client_internal as supernode

    state = NodeStateFactory(objectstore_factory=ObjectStoreFactory()).state()
    before = state.create_task(task_type=TaskType.CLIENT_APP, run_id=1, fab_hash="x")

    def fetch(*, state: NodeState, **_: object) -> int | None:
        state.create_task(task_type=TaskType.CLIENT_APP, run_id=2, fab_hash="x")
        return outcome

    monkeypatch.setattr(supernode, "_pull_and_store_message", fetch)
    forget_what_did_not_arrive()
    assert vars(supernode)["_pull_and_store_message"](state=state, object_store=None) == outcome
    open_tasks = {task.task_id for task in state.get_tasks(statuses=[Status.PENDING])}
    assert before in open_tasks
    assert len(open_tasks) == (1 if outcome is None else 2)


class Line:
    """Stands in for the worker's connection; ``wrong`` is what happens when the input is fetched or the answer handed over."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, message: Message, context: Context, wrong: Exception | None = None) -> None:
        self.pushed: list[str] = []
        self._wrong = wrong
        monkeypatch.setattr(client.flower, "make_task_heartbeat_fn_http", lambda _: lambda: True)
        monkeypatch.setattr(client.flower, "pull_task_input", lambda _: (message, context, None, OURS))
        monkeypatch.setattr(client.flower, "push_message", self._push)
        monkeypatch.setattr(client.flower, "push_task_output", lambda _client, _context, status, _details: self.pushed.append(status))

    def _push(self, *_: object) -> None:
        if self._wrong is not None:
            raise self._wrong
        self.pushed.append("message")


def refused(code: int) -> httpx.HTTPStatusError:
    request = httpx.Request("POST", "http://127.0.0.1/")
    return httpx.HTTPStatusError("no", request=request, response=httpx.Response(code, request=request))


def test_a_task_is_answered_and_finished(monkeypatch: pytest.MonkeyPatch, message: Message, context: Context) -> None:
    line = Line(monkeypatch, message, context)
    client.flower._serve(line, reply)  # type: ignore[arg-type]
    assert line.pushed == ["message", SubStatus.COMPLETED]


@pytest.mark.parametrize("code", [401, 403])
def test_an_answer_that_nobody_wants_any_more_is_left(
    monkeypatch: pytest.MonkeyPatch, message: Message, context: Context, code: int
) -> None:
    line = Line(monkeypatch, message, context, refused(code))
    client.flower._serve(line, reply)  # type: ignore[arg-type]
    assert line.pushed == []


@pytest.mark.parametrize("wrong", [refused(500), httpx.ConnectError("gone"), RuntimeError("odd")])
def test_any_other_failure_ends_the_worker(monkeypatch: pytest.MonkeyPatch, message: Message, context: Context, wrong: Exception) -> None:
    line = Line(monkeypatch, message, context, wrong)
    with pytest.raises(type(wrong)):
        client.flower._serve(line, reply)  # type: ignore[arg-type]
    assert line.pushed == []


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("raise OSError('the link was cut')", 1, b"the link was cut"),
        ("pass", 1, b"given up"),
        ("sys.exit(3)", 3, b""),
        ("sys.exit()", 0, b""),
    ],
)
def test_a_supernode_ends_whole_with_its_main_thread(end: str, code: int, said: bytes) -> None:
    program = f"""
import sys, threading, time
from client.flower import end_whole
threading.Thread(target=time.sleep, args=(600,)).start()
def main():
    {end}
end_whole(main)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=120, check=False)
    assert ended.returncode == code
    assert said in ended.stderr


@pytest.mark.parametrize("broken", ["os.close(reader)", "sys.stdout.close()"])
def test_a_supernode_ends_whole_although_nobody_reads_what_it_says(broken: str) -> None:
    program = f"""
import os, sys, threading, time
from client.flower import end_whole
reader, pipe = os.pipe()
sys.stdout = os.fdopen(pipe, "w")
threading.Thread(target=time.sleep, args=(600,)).start()
def main():
    sys.stdout.write("said")
    {broken}
    sys.exit(3)
end_whole(main)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=120, check=False)
    assert ended.returncode == 3


class Fleet:
    """A SuperLink's fleet interface, as the patched client calls it: refuses a node that is connected, as Flower's does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.connected, self.asked, self.node = False, list[str](), 2**63 + 5

        def activate(_client: object, request: ActivateNodeRequest) -> ActivateNodeResponse:
            self.asked.append("activate")
            if self.connected:
                raise refused(409)
            self.connected = True
            return ActivateNodeResponse(node_id=self.node)

        def deactivate(_client: object, request: DeactivateNodeRequest) -> None:
            self.asked.append(f"deactivate {request.node_id}")
            if not self.connected or request.node_id != self.node:
                raise refused(409)
            self.connected = False

        monkeypatch.setattr(FleetHttpClient, "ActivateNode", activate)
        monkeypatch.setattr(FleetHttpClient, "DeactivateNode", deactivate)
        monkeypatch.setattr(client.flower.time, "sleep", lambda seconds: self.asked.append(f"away {seconds:g} s"))

    def come(self, key: bytes = b"key") -> int:
        with FleetHttpClient("https://127.0.0.1:1", interceptors=[]) as caller:
            return caller.ActivateNode(ActivateNodeRequest(public_key=key)).node_id


def test_a_killed_supernode_takes_leave_and_is_let_in_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fleet = Fleet(monkeypatch)
    leave_before_coming_back(tmp_path / "node")
    assert fleet.come() == fleet.come() == fleet.node
    assert fleet.asked == ["activate", f"deactivate {fleet.node}", f"away {AWAY_S:g} s", "activate"]


def test_one_that_took_leave_itself_does_not_wait(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fleet = Fleet(monkeypatch)
    leave_before_coming_back(tmp_path / "node")
    fleet.come()
    fleet.connected = False
    fleet.come()
    assert fleet.asked == ["activate", f"deactivate {fleet.node}", "activate"]


@pytest.mark.parametrize("kept", ["", "no number", "5", "5 another-key", "\x00 \xff \x00"])
def test_what_is_kept_of_another_key_or_damaged_is_not_used(kept: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fleet = Fleet(monkeypatch)
    (tmp_path / "node").write_text(kept)
    leave_before_coming_back(tmp_path / "node")
    fleet.come()
    assert fleet.asked == ["activate"]
    assert fleet.connected


def test_a_disk_that_is_full_keeps_nobody_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fleet = Fleet(monkeypatch)
    leave_before_coming_back(tmp_path / "not there" / "\x00")
    monkeypatch.setattr(client.flower, "write_atomic", full)
    assert fleet.come() == fleet.node


def full(*given: object) -> None:
    raise ResourceError("the disk is full")


def test_one_that_is_refused_all_the_same_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fleet = Fleet(monkeypatch)
    leave_before_coming_back(tmp_path / "node")
    fleet.connected = True  # another SuperNode with this key
    with pytest.raises(httpx.HTTPStatusError):
        fleet.come()
    assert not (tmp_path / "node").exists()
