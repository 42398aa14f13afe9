"""The institution's side of Flower 1.41.0: the resident worker, and a SuperNode that does not dawdle.

Only this file of ``client`` knows Flower's inner modules; flwr is pinned to the exact version it was written for.

As Flower ships, a SuperNode unpacks the code that the coordinator pushed and starts a process for every message. Here
the SuperNode runs with ``--isolation process``, and :func:`work` takes its place: one process that stays, runs the
*installed* ``client.app:app`` (so torch, teacher targets and records stay warm), and answers every message of a run
whose bundle is not the known empty one (``shared/bundle.py``) with an error. Pushed code is never unpacked nor imported.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import logging
import os
import sys
import time
import types
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import httpx
from flwr.app import Context, Error, Message
from flwr.common.constant import ErrorCode, Status, SubStatus
from flwr.proto.fleet_pb2 import ActivateNodeRequest, ActivateNodeResponse, DeactivateNodeRequest
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.fab import Fab
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.inflatable import inflatable_utils
from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor, RuntimeVersionHttpInterceptor, SuperExecAuthHttpInterceptor
from flwr.supercore.object_store import ObjectStore
from flwr.supercore.protobuf.client import ProtobufClientInterceptor
from flwr.supercore.retry import RetryInvoker, exponential
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.nodestate import NodeState
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output

from client.pace import Pace
from shared.bundle import bundle_hash
from shared.errors import FedstillError
from shared.files import write_atomic
from shared.logs import set_up

App = Callable[[Message, Context], Message]

INSTALLED_APP = "client.app:app"
"""The one ClientApp that the worker runs."""
WORKER_POLL_S = 0.1
"""Seconds between two questions of the worker to its SuperNode, over loopback."""
PULL_BACKOFF_S = 0.05
"""First wait for an object that is announced and not there yet; Flower's own is 1 s."""
AWAY_S = 3.0
"""How long a node that comes back stays away: the coordinator looks at least every second or so."""
NOT_WANTED = frozenset({401, 403})
"""What a SuperNode answers to a worker whose task it does not know any more."""
_RETRY_S = 45.0

_log = logging.getLogger("fedstill.worker")


def poll_at(pace: Pace) -> None:
    """Lets ``pace`` decide how long a SuperNode sleeps between two polls.

    Flower 1.41 has 3 s (nothing to fetch) and 0.5 s (waiting for the worker) written into
    ``flwr.supernode.start_client_internal``, which calls them through its module-wide name ``time``.
    """
    import flwr.supernode.start_client_internal as supernode

    vars(supernode)["time"] = types.SimpleNamespace(sleep=pace.sleep)


def forget_what_did_not_arrive() -> None:
    """Makes a SuperNode drop the task, and the answer, of a message that could not be fetched because its run had ended meanwhile.

    Flower 1.41 makes the task before it fetches the message and leaves it behind in that case: the worker would take it
    and wait two hours for a content that nobody will send, and the institution with it. Where the worker was quicker and has
    answered already, the answer would be taken for that to the next message, whose own would then wait for the one after.
    """
    import flwr.supernode.start_client_internal as supernode

    fetch = vars(supernode)["_pull_and_store_message"]

    def fetch_or_forget(*, state: NodeState, object_store: ObjectStore, **rest: Any) -> int | None:
        before = _open_tasks(state)
        run: int | None = fetch(state=state, object_store=object_store, **rest)
        if run is None:
            for task in _open_tasks(state) - before:
                state.finish_task(task, sub_status=SubStatus.FAILED, details="its run ended before the message had arrived")
            # A SuperNode has one message at a time: what is answered while none is being worked on, nobody waits for.
            for reply in state.get_messages_legacy(is_reply=True):
                state.delete_messages(message_ids=[reply.metadata.message_id, reply.metadata.reply_to_message_id])
                object_store.delete(reply.metadata.message_id)
        return run

    vars(supernode)["_pull_and_store_message"] = fetch_or_forget


def _open_tasks(state: NodeState) -> set[int]:
    return {task.task_id for task in state.get_tasks(statuses=[Status.PENDING, Status.STARTING, Status.RUNNING])}


def pull_quickly() -> None:
    """Shortens the first wait for an object that is announced and not there yet, from 1 s; it still doubles each time.

    A message becomes visible before its objects have arrived, so whoever polls quickly meets this wait every time.
    """
    inflatable_utils.pull_objects.__kwdefaults__ = {
        **(inflatable_utils.pull_objects.__kwdefaults__ or {}),
        "initial_backoff": PULL_BACKOFF_S,
    }


def leave_before_coming_back(kept: Path) -> None:
    """Makes a SuperNode that was killed, and is started again, take leave of the connection that it had, and only then ask for a new one.

    SuperLink 1.41 refuses a node that it takes for connected, and it does so until a minute has gone without a sign of life. Which node
    it was, with which key, is ``kept`` in a file. Between leave and return it waits :data:`AWAY_S`: only while a node is away does
    SuperLink say that what it had fetched is lost, and the coordinator sends that again.
    """
    activate = FleetHttpClient.ActivateNode

    def leave_and_activate(self: FleetHttpClient, request: ActivateNodeRequest) -> ActivateNodeResponse:
        left = _left_behind(kept, request.public_key)
        if left is not None:
            # A node that is away already, or unknown by now, is refused its leave.
            with suppress(httpx.HTTPError, RuntimeError):
                self.DeactivateNode(DeactivateNodeRequest(node_id=left))
                _log.info("took leave of the connection that was left behind")
                time.sleep(AWAY_S)
        response = activate(self, request)
        with suppress(FedstillError):  # a full disk: then the next one waits for a minute
            write_atomic(kept, f"{response.node_id} {_digest(request.public_key)}\n".encode())
        return response

    FleetHttpClient.ActivateNode = leave_and_activate  # type: ignore[method-assign]


def _left_behind(kept: Path, public_key: bytes) -> int | None:
    try:
        node, key = kept.read_text().split()
        return int(node) if key == _digest(public_key) else None
    except (OSError, ValueError):
        return None


def _digest(public_key: bytes) -> str:
    return hashlib.sha256(public_key).hexdigest()


def load_installed_app() -> App:
    """The installed ClientApp."""
    module, _, name = INSTALLED_APP.partition(":")
    app: App = getattr(importlib.import_module(module), name)
    return app


def allowed(fab: Fab) -> bool:
    """Whether a run's bundle is the known one: both the hash it claims and the hash of what it holds."""
    known = bundle_hash()
    return fab.hash_str == known and hashlib.sha256(fab.content).hexdigest() == known


def answer(app: App, message: Message, context: Context, fab: Fab) -> tuple[Message, str]:
    """The reply to one message, and what went wrong (empty: nothing). An error's text stays here: it may quote records."""
    if not allowed(fab):
        _log.error("refused a run whose bundle %s is not on this institution's list", fab.hash_str[:16])
        return Message(Error(ErrorCode.INVALID_FAB, "this institution runs installed code only"), reply_to=message), "refused"
    try:
        return app(message, context), ""
    except Exception as error:
        _log.exception("the installed app failed")
        kind = type(error).__name__
        return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, f"{kind}; see the institution's log"), reply_to=message), kind


def work(address: str, secret: bytes, app: App, *, once: bool = False) -> None:
    """Serves a SuperNode's Runtime interface at ``address``: takes tasks and answers them, one at a time, for ever.

    ``secret`` is shared with the SuperNode only; without it nobody else on this machine can take a task. With ``once``
    it returns after one task. Raises :class:`httpx.HTTPStatusError` if the SuperNode does not accept the secret.
    """
    with _connect(address, _superexec(secret)) as acquire:
        while True:
            task = _acquire(acquire)
            if task is None:
                time.sleep(WORKER_POLL_S)
                continue
            with _connect(address, RuntimeTokenHttpInterceptor(task), patient=True) as client:
                _serve(client, app)
            if once:
                return


def _acquire(client: RuntimeHttpClient) -> str | None:
    try:
        response = client.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP]))
    except httpx.TransportError:
        return None  # the SuperNode is being started again
    return response.token if response.HasField("task") and response.token else None


def _serve(client: RuntimeHttpClient, app: App) -> None:
    """One task, from its input to its output.

    If the SuperNode does not want the answer any more (it was started again, or the run ended) it is left: the ledger has
    it, and gives it when asked again. Any other failure is raised and ends the worker; the supervisor then starts both
    anew, because a SuperNode waits without end for an answer that does not come.
    """
    heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(client))
    heartbeat.start()
    try:
        message, context, _, fab = pull_task_input(client)
        started = time.monotonic()
        reply, failure = answer(app, message, context, fab)
        push_message(client, reply, context)
        push_task_output(client, context, SubStatus.FAILED if failure else SubStatus.COMPLETED, failure)
        _log.info("answered %s in %.1f s", message.metadata.message_type, time.monotonic() - started)
    except httpx.HTTPStatusError as error:
        if error.response.status_code not in NOT_WANTED:
            raise
        _log.warning("the SuperNode does not want this answer any more; it is kept and given again when asked")
    finally:
        if heartbeat.is_running:
            heartbeat.stop()


def _connect(address: str, interceptor: ProtobufClientInterceptor, *, patient: bool = False) -> RuntimeHttpClient:
    # Flower's own retry invoker ends the process on 401, which would throw away a warm worker: ours gives up instead.
    patience = RetryInvoker(lambda: exponential(max_delay=5), httpx.TransportError, max_tries=None, max_time=_RETRY_S)
    return RuntimeHttpClient.from_server_address(
        server_address=address,
        insecure=True,  # loopback, and each call is authenticated by secret or token
        root_certificates=None,
        interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr-clientapp"), interceptor],
        retry_invoker=patience if patient else None,
    )


def _superexec(secret: bytes) -> SuperExecAuthHttpInterceptor:
    return SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods=frozenset({"/flwr.proto.Runtime/AcquireTask"}))


def end_whole(main: Callable[[], None]) -> NoReturn:
    """Runs ``main`` and then ends the process, whatever other threads it has started: with ``main``'s exit code, or 1 if it did not exit.

    A SuperNode of Flower 1.41 gives up where a connection is cut in the middle of a TLS handshake. Its main thread ends,
    its server's thread keeps the process alive: connected to nobody, and nobody starts it again.
    """
    code: str | int | None = 1
    try:
        main()
        _log.error("it has given up")
    except SystemExit as ended:
        code = ended.code
    except Exception:
        _log.exception("it has failed")
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # a pipe whose reader is gone, a stream that is closed
                stream.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


def _run_supernode(arguments: list[str], alive: Path) -> None:
    from flwr.supernode.cli import flower_supernode

    poll_at(Pace(alive=alive))
    forget_what_did_not_arrive()
    leave_before_coming_back(alive.with_name("node"))
    pull_quickly()
    sys.argv = ["flower-supernode", *arguments]
    end_whole(flower_supernode)


def _run_worker(address: str, secret_file: Path) -> None:
    from shared.identity import read_private

    set_up(logging.getLogger())
    logging.getLogger("httpx").setLevel(logging.WARNING)
    pull_quickly()
    app = load_installed_app()
    _log.info("ready")
    work(address, read_private(secret_file), app)


def main(arguments: list[str] | None = None) -> None:
    """``python -m client.flower supernode --alive FILE -- …`` or ``python -m client.flower worker --address … --secret …``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    roles = parser.add_subparsers(dest="role", required=True)
    supernode = roles.add_parser("supernode", help="run flower-supernode with quick polling; its arguments come after --")
    supernode.add_argument("--alive", type=Path, required=True)
    supernode.add_argument("rest", nargs=argparse.REMAINDER)
    worker = roles.add_parser("worker", help="run the resident worker")
    worker.add_argument("--address", required=True)
    worker.add_argument("--secret", type=Path, required=True)
    options = parser.parse_args(arguments)
    if options.role == "supernode":
        _run_supernode([word for word in options.rest if word != "--"], options.alive)
    else:
        _run_worker(options.address, options.secret)


if __name__ == "__main__":
    main()
