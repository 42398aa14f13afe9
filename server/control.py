"""The coordinator's side of Flower's Control interface: register institutions' nodes, start a run, follow it.

It runs in the supervisor's process, on the coordinator's own machine, against the SuperLink on loopback (Flower 1.41.0).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from flwr.common.serde import fab_to_proto, user_config_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    StreamLogsRequest,
    UnregisterNodeRequest,
)
from flwr.proto.node_pb2 import NodeInfo
from flwr.supercore.control.control_http_client import ControlHttpClient
from flwr.supercore.fab import Fab
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from shared.bundle import app_bundle, bundle_hash
from shared.errors import DeploymentError

UNREGISTERED = "unregistered"
"""What Flower says of a node that it will not know again."""


@dataclass(frozen=True)
class RunStatus:
    """Where a Flower run stands: ``finished`` and, if so, ``completed``; ``details`` say why it is not."""

    finished: bool
    completed: bool
    details: str


class Control:
    """A connection to the Control interface at ``address``; every call raises :class:`DeploymentError` if it fails."""

    def __init__(self, address: str, ca: Path) -> None:
        self._client = ControlHttpClient.from_server_address(address, False, ca.read_bytes(), interceptors=[])

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()

    def register(self, nodes: Mapping[str, bytes], tell: Callable[[str], None]) -> tuple[str, ...]:
        """Makes sure that the nodes of these institutions (name to OpenSSH public key) are registered under their names, and no others.

        A node with another key is unregistered: SuperLink refuses its calls from then on, and never takes that key again.
        Returns the names of those. ``tell`` hears of each node that SuperLink refuses; it goes on with the others all the same, and
        raises only if SuperLink does not answer.
        """
        found, wanted = self._nodes(), _readable(nodes, tell)
        gone = tuple(node for node in found if node.public_key not in wanted.values())
        for node in gone:
            with (
                _refused(f"the node of '{node.name}' cannot be unregistered: SuperLink does not know it", tell),
                _asking("unregister a node"),
            ):
                self._client.UnregisterNode(UnregisterNodeRequest(node_id=node.node_id))
        known = {node.public_key: node.name for node in found}
        for name, key in wanted.items():
            if key not in known:
                again = f"SuperLink refuses the node key of '{name}', which it may have had before: let it join again"
                with _refused(again, tell), _asking("register a node"):
                    self._client.RegisterNode(RegisterNodeRequest(public_key=key, name=name))
            elif known[key] != name:
                tell(f"the node key of '{name}' is registered for '{known[key]}': each institution needs a key of its own")
        return tuple(node.name for node in gone)

    def online(self) -> frozenset[str]:
        """Names of the institutions whose SuperNode is connected now."""
        return frozenset(node.name for node in self._nodes() if node.status == "online")

    def start(self, config: Mapping[str, str]) -> int:
        """Starts a run of the installed apps with this run configuration; returns Flower's number of it."""
        fab = fab_to_proto(Fab(bundle_hash(), app_bundle(), {}))
        with _asking("start a run"):
            response = self._client.StartRun(StartRunRequest(fab=fab, override_config=user_config_to_proto(dict(config))))
        if not response.run_id:
            raise DeploymentError("SuperLink did not start the run; see its log")
        return response.run_id

    def status(self, run: int) -> RunStatus:
        """Where run number ``run`` stands."""
        with _asking("follow a run"):
            found = self._client.ListRuns(ListRunsRequest(run_id=run)).run_dict.get(run)
        if found is None:
            return RunStatus(True, False, "SuperLink does not know the run any more")
        status = found.status
        return RunStatus(status.status == "finished", status.sub_status == "completed", status.details)

    def follow_log(self, run: int, log: Path) -> None:
        """Copies what the ServerApp says into ``log``, for as long as the run lasts, in a thread of its own.

        The thread ends with the run or with SuperLink; what is lost then is a few lines of a log, so it says nothing.
        """
        threading.Thread(target=self._copy_log, args=(run, log), name=f"log-of-{run}", daemon=True).start()

    def _copy_log(self, run: int, log: Path) -> None:
        with contextlib.suppress(httpx.HTTPError, ValueError, RuntimeError), log.open("a") as file:
            for part in self._client.StreamLogs(StreamLogsRequest(run_id=run, after_timestamp=0.0)):
                file.write(part.log_output)
                file.flush()

    def stop_unfinished(self) -> None:
        """Ends every run that an earlier SuperLink left behind: it has nobody who leads it any more."""
        with _asking("list the runs"):
            runs = self._client.ListRuns(ListRunsRequest()).run_dict
        for number, run in runs.items():
            if run.status.status != "finished":
                self.stop(number)

    def stop(self, run: int) -> None:
        """Asks SuperLink to end a run."""
        with _asking("stop a run"):
            self._client.StopRun(StopRunRequest(run_id=run))

    def _nodes(self) -> list[NodeInfo]:
        with _asking("list the nodes"):
            return [node for node in self._client.ListNodes(ListNodesRequest()).nodes_info if node.status != UNREGISTERED]


class _asking:  # noqa: N801 - reads as a verb in a with statement
    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, httpx.HTTPError):
            raise DeploymentError(f"could not {self._what} at SuperLink ({type(error).__name__}); see logs/superlink.log") from error


@contextlib.contextmanager
def _refused(sentence: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Says ``sentence`` where SuperLink has answered and refuses this one; that it does not answer at all is raised."""
    try:
        yield
    except DeploymentError as error:
        cause = error.__cause__
        if not (isinstance(cause, httpx.HTTPStatusError) and cause.response.is_client_error):
            raise
        tell(sentence)


def _readable(nodes: Mapping[str, bytes], tell: Callable[[str], None]) -> dict[str, bytes]:
    keys = {}
    for name, line in nodes.items():
        try:
            keys[name] = public_key_to_bytes(load_ssh_public_key(line))  # type: ignore[arg-type]
        except (ValueError, AttributeError, UnsupportedAlgorithm):
            tell(f"the node key of '{name}' cannot be read: enrol the institution again")
    return keys
