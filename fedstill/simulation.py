"""A whole federation in one process: the deployed ServerApp and ClientApp on an in-process Flower grid.

The grid carries every message through Flower's real serialisation, so that what works here works deployed, and can let
institutions vanish on purpose. No network, no Ray.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from client.app import make_app as make_client_app
from server.app import make_app as make_server_app
from server.coordinator import RunResult
from server.events import Event, RoundStarted
from server.stopping import StopSignal
from server.toolbox import Toolbox
from shared.exchange import MESSAGE_TYPES, MessageKind

Vanish = Literal["before", "after"] | None
"""When an institution vanishes: before it has seen a message, after it has done the work (the answer is lost), or not."""
Faults = Callable[[str, int, MessageKind], Vanish]
"""(institution, round number, stage) → whether it vanishes. Called when the message is sent."""
WORKERS = 2
"""Institutions that work at the same time."""
POLL_S = 0.005
"""Seconds between two looks for a reply."""
LONGEST_WAIT_S = 3600.0
"""Bound of a wait for which nobody gave one."""
POLL_S = 0.005
"""Seconds between two looks for answers."""
_KINDS: dict[str, MessageKind] = {message_type: kind for kind, message_type in MESSAGE_TYPES.items()}


def no_faults(_institution: str, _round_number: int, _stage: MessageKind) -> Vanish:
    """Everyone stays."""
    return None


class Drops:
    """Institutions that vanish in training rounds, counted from 1; in a round trained anew they are there again.

    Listens to the run's events to know which round is which: give it each event before the coordinator goes on.
    """

    def __init__(self, schedule: Mapping[int, frozenset[str]], vanish: Literal["before", "after"] = "before") -> None:
        self._schedule = schedule
        self._vanish: Vanish = vanish
        self._round: dict[int, frozenset[str]] = {}

    def observe(self, event: Event) -> None:
        """Notes which round is a training round with drops."""
        if isinstance(event, RoundStarted) and event.training_round is not None and event.attempt == 0:
            self._round = {event.number: self._schedule.get(event.training_round, frozenset())}

    def __call__(self, institution: str, round_number: int, stage: MessageKind) -> Vanish:
        """As :data:`Faults`."""
        return self._vanish if stage == "train" and institution in self._round.get(round_number, ()) else None


class LocalGrid(Grid):
    """Runs ``client_app`` for each institution's folder in a small pool of threads, one message at a time for each."""

    def __init__(
        self, client_app: ClientApp, institutions: Mapping[str, Path], *, workers: int = WORKERS, faults: Faults = no_faults
    ) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, SUPERLINK_NODE_ID, 1
        self._app = client_app
        self._faults = faults
        self._nodes = dict(enumerate(sorted(institutions), start=2))
        self._contexts = {
            node: Context(1, node, {"institution-dir": str(institutions[name])}, RecordDict(), {}) for node, name in self._nodes.items()
        }
        self._locks = {node: threading.Lock() for node in self._nodes}
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="institution")
        self._numbers = itertools.count(1)
        self._replies: dict[str, Message] = {}
        self._guard = threading.Lock()
        self._run = Run.create_empty(1)

    def close(self) -> None:
        """Waits for the works that have begun and forgets those that have not."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def set_run(self, run: Run) -> None:
        """Flower's way of saying which run this grid belongs to."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run that this grid belongs to."""
        return self._run

    def create_message(self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None) -> Message:
        """A message to a node."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """The nodes of all institutions."""
        return list(self._nodes)

    def get_nodes(self) -> Iterable[NodeInfo]:
        """The nodes with their institutions' names, as a SuperLink gives them."""
        return [NodeInfo(node_id=node, name=name, status="online") for node, name in self._nodes.items()]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Hands every message to its node and returns the messages' ids."""
        return [self._push(message) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The replies that have arrived; each is given once."""
        with self._guard:
            return [self._replies.pop(identifier) for identifier in list(message_ids) if identifier in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Sends the messages and waits for their replies, at most ``timeout`` seconds (default :data:`LONGEST_WAIT_S`).

        For Flower's own strategies; fedstill looks for replies by itself (``server.flower.GridExchange``).
        """
        waiting, replies = set(self.push_messages(messages)), []
        end = time.monotonic() + (LONGEST_WAIT_S if timeout is None else timeout)
        while waiting and time.monotonic() < end:
            arrived = list(self.pull_messages(waiting))
            replies += arrived
            waiting -= {reply.metadata.reply_to_message_id for reply in arrived}
            time.sleep(POLL_S if waiting else 0.0)
        return replies

    def _push(self, message: Message) -> str:
        identifier = f"message-{next(self._numbers)}"
        message.metadata.__dict__["_message_id"] = identifier
        name = self._nodes[message.metadata.dst_node_id]
        vanish = self._faults(name, int(message.metadata.group_id or 0), _KINDS[message.metadata.message_type])
        self._pool.submit(self._deliver, message, identifier, vanish)
        return identifier

    def _deliver(self, message: Message, identifier: str, vanish: Vanish) -> None:
        reply = Message(Error(ErrorCode.NODE_UNAVAILABLE, "the institution vanished"), reply_to=message)
        if vanish != "before":
            answer = self._answer(message)
            reply = reply if vanish == "after" else answer
        with self._guard:
            self._replies[identifier] = reply

    def _answer(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        try:
            with self._locks[node]:
                return over_the_wire(self._app(over_the_wire(message), self._contexts[node]))
        except Exception as error:
            # As a deployed worker does: the kind of error only, never its text.
            reason = f"the app failed with {type(error).__name__}"
            return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)


def over_the_wire(message: Message) -> Message:
    """What a network makes of a message: serialised into Flower's content-addressed objects, and inflated again."""
    contents = {identifier: part.deflate() for identifier, part in get_all_nested_objects(message).items()}
    arrived = inflate_object_from_contents(message.object_id, contents)
    assert isinstance(arrived, Message)
    arrived.metadata.__dict__["_message_id"] = message.metadata.message_id
    return arrived


def run_in_process(
    coordinator_dir: Path,
    institution_dirs: Mapping[str, Path],
    run: str,
    *,
    on_event: Callable[[Event], None] = lambda event: None,
    drops: Mapping[int, frozenset[str]] | None = None,
    vanish: Literal["before", "after"] = "before",
    workers: int = WORKERS,
    stop: StopSignal | None = None,
    client_app: ClientApp | None = None,
    toolbox: Toolbox | None = None,
) -> RunResult:
    """Runs a run to its end, or goes on with it, over the folders of a coordinator and its institutions.

    ``drops`` maps training rounds (from 1) to the institutions that vanish in them. ``client_app`` and ``toolbox`` stand
    in for the deployed ones. Raises :class:`~server.stopping.Interrupted` when asked to stop, and any error of
    :meth:`server.coordinator.Coordinator.run`.
    """
    faults = Drops(drops or {}, vanish)
    results: list[RunResult] = []

    def observe(event: Event) -> None:
        faults.observe(event)
        on_event(event)

    server_app = make_server_app(on_event=observe, on_result=results.append, toolbox=toolbox, stop=stop, poll_s=POLL_S)
    grid = LocalGrid(client_app or make_client_app(), institution_dirs, workers=workers, faults=faults)
    try:
        server_app(grid, Context(1, SUPERLINK_NODE_ID, {}, RecordDict(), {"coordinator-dir": str(coordinator_dir), "run": run}))
    finally:
        grid.close()
    return results[0]
