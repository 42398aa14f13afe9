"""Flower's Control interface, spoken to through its own messages: nodes registered once, runs followed, every failure a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.proto.control_pb2 import (
    ListNodesResponse,
    ListRunsResponse,
    RegisterNodeRequest,
    RegisterNodeResponse,
    StartRunResponse,
    StopRunRequest,
    StopRunResponse,
)
from flwr.proto.node_pb2 import NodeInfo
from flwr.proto.run_pb2 import Run, RunStatus

from server.control import Control
from shared.bundle import bundle_hash
from shared.errors import DeploymentError


class SuperLink:
    """Answers as Flower's does, and remembers what it was asked."""

    def __init__(self) -> None:
        self.nodes: list[NodeInfo] = []
        self.runs: dict[int, Run] = {}
        self.registered: list[str] = []
        self.stopped: list[int] = []
        self.started: list[Any] = []
        self.number = 7
        self.closed = False

    def ListNodes(self, _request: Any) -> ListNodesResponse:  # noqa: N802 - Flower's names
        return ListNodesResponse(nodes_info=self.nodes)

    def RegisterNode(self, request: RegisterNodeRequest) -> RegisterNodeResponse:  # noqa: N802
        self.registered.append(request.name)
        self.nodes.append(NodeInfo(node_id=len(self.registered), name=request.name, public_key=request.public_key, status="registered"))
        return RegisterNodeResponse()

    def UnregisterNode(self, request: Any) -> Any:  # noqa: N802
        for node in self.nodes:
            if node.node_id == request.node_id:
                node.status = "unregistered"

    def StartRun(self, request: Any) -> StartRunResponse:  # noqa: N802
        self.started.append(request)
        return StartRunResponse(run_id=self.number)

    def ListRuns(self, request: Any) -> ListRunsResponse:  # noqa: N802
        wanted = [request.run_id] if request.HasField("run_id") else list(self.runs)
        return ListRunsResponse(run_dict={number: self.runs[number] for number in wanted if number in self.runs})

    def StopRun(self, request: StopRunRequest) -> StopRunResponse:  # noqa: N802
        self.stopped.append(request.run_id)
        return StopRunResponse()

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def superlink() -> SuperLink:
    return SuperLink()


@pytest.fixture
def control(superlink: SuperLink, tmp_path: Path) -> Control:
    (tmp_path / "ca.crt").write_bytes(b"a certificate")
    with patch("server.control.ControlHttpClient.from_server_address", return_value=superlink) as opened:
        made = Control("127.0.0.1:9093", tmp_path / "ca.crt")
    assert opened.call_args.args == ("127.0.0.1:9093", False, b"a certificate"), "never without TLS"
    return made


def node_key() -> bytes:
    return generate_private_key(SECP384R1()).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)


def run_in(status: str, sub: str = "", details: str = "") -> Run:
    return Run(status=RunStatus(status=status, sub_status=sub, details=details))


def test_each_node_is_registered_once(control: Control, superlink: SuperLink) -> None:
    nodes = {"ash": node_key(), "elm": node_key()}
    control.register(nodes, print)
    control.register({**nodes, "fir": node_key()}, print)
    assert superlink.registered == ["ash", "elm", "fir"]


def test_two_institutions_cannot_have_one_key_and_a_broken_one_is_named(control: Control, superlink: SuperLink) -> None:
    """And neither keeps the others out."""
    key, said = node_key(), list[str]()
    control.register({"ash": key}, said.append)
    assert not said
    control.register({"elm": key, "fir": b"ssh-nonsense AAAA", "yew": node_key()}, said.append)
    assert [line.split(":")[0] for line in said] == [
        "the node key of 'fir' cannot be read",
        "the node key of 'elm' is registered for 'ash'",
    ]
    assert superlink.registered == ["ash", "yew"]


def refusal(status: int) -> httpx.HTTPStatusError:
    request = httpx.Request("POST", "https://127.0.0.1/v1/control/register-node")
    return httpx.HTTPStatusError("refused", request=request, response=httpx.Response(status, request=request))


def test_a_key_that_superlink_refuses_keeps_nobody_else_out(control: Control, superlink: SuperLink) -> None:
    register, said = superlink.RegisterNode, list[str]()

    def answer(request: RegisterNodeRequest) -> RegisterNodeResponse:
        if request.name == "ash":
            raise refusal(409)
        return register(request)

    with patch.object(superlink, "RegisterNode", answer):
        control.register({"ash": node_key(), "elm": node_key()}, said.append)
    assert superlink.registered == ["elm"]
    assert ["refuses the node key of 'ash'" in line for line in said] == [True]


def test_a_node_that_cannot_be_unregistered_keeps_nobody_else_in(control: Control, superlink: SuperLink) -> None:
    unregister, said = superlink.UnregisterNode, list[str]()
    control.register({"ash": node_key(), "elm": node_key()}, said.append)

    def answer(request: Any) -> Any:
        if request.node_id == superlink.nodes[0].node_id:
            raise refusal(404)
        return unregister(request)

    with patch.object(superlink, "UnregisterNode", answer):
        control.register({"fir": node_key()}, said.append)
    assert {node.name: node.status for node in superlink.nodes} == {"ash": "registered", "elm": "unregistered", "fir": "registered"}
    assert ["'ash' cannot be unregistered" in line for line in said] == [True]


@pytest.mark.parametrize("error", [refusal(503), httpx.ConnectError("secret address")])
def test_that_superlink_does_not_answer_is_no_refusal(control: Control, superlink: SuperLink, error: httpx.HTTPError) -> None:
    said = list[str]()
    with patch.object(superlink, "RegisterNode", side_effect=error), pytest.raises(DeploymentError, match="could not register a node"):
        control.register({"ash": node_key()}, said.append)
    assert not said


def test_a_node_that_is_wanted_no_more_is_unregistered_once_and_stays_so(control: Control, superlink: SuperLink) -> None:
    nodes = {"ash": node_key(), "elm": node_key()}
    assert control.register(nodes, print) == ()
    assert control.register({"ash": nodes["ash"]}, print) == ("elm",)
    assert {node.name: node.status for node in superlink.nodes} == {"ash": "registered", "elm": "unregistered"}
    assert control.register({"ash": nodes["ash"]}, print) == ()
    assert control.online() == frozenset()


def test_a_member_that_joined_again_brings_another_key_under_its_name(control: Control, superlink: SuperLink) -> None:
    control.register({"ash": node_key()}, print)
    assert control.register({"ash": node_key()}, print) == ("ash",)
    assert [(node.name, node.status) for node in superlink.nodes] == [("ash", "unregistered"), ("ash", "registered")]


def test_who_is_online(control: Control, superlink: SuperLink) -> None:
    superlink.nodes = [
        NodeInfo(name=name, status=status) for name, status in (("ash", "online"), ("elm", "offline"), ("fir", "registered"))
    ]
    assert control.online() == {"ash"}


def test_a_run_is_started_with_the_installed_code_s_digest(control: Control, superlink: SuperLink) -> None:
    assert control.start({"run": "trial"}) == 7
    (request,) = superlink.started
    assert request.fab.hash_str == bundle_hash()
    assert request.override_config["run"].string == "trial"
    superlink.number = 0
    with pytest.raises(DeploymentError, match="did not start the run"):
        control.start({})


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (run_in("running"), (False, False, "")),
        (run_in("finished", "completed"), (True, True, "")),
        (run_in("finished", "failed", "it fell over"), (True, False, "it fell over")),
        (None, (True, False, "SuperLink does not know the run any more")),
    ],
)
def test_where_a_run_stands(control: Control, superlink: SuperLink, run: Run | None, expected: tuple[bool, bool, str]) -> None:
    superlink.runs = {3: run} if run is not None else {}
    found = control.status(3)
    assert (found.finished, found.completed, found.details) == expected


def test_only_unfinished_runs_are_stopped(control: Control, superlink: SuperLink) -> None:
    superlink.runs = {1: run_in("finished", "completed"), 2: run_in("running"), 3: run_in("pending")}
    control.stop_unfinished()
    assert sorted(superlink.stopped) == [2, 3]
    control.close()
    assert superlink.closed


@pytest.mark.parametrize(
    ("method", "ask", "what"),
    [
        ("ListNodes", lambda control: control.online(), "list the nodes"),
        ("StartRun", lambda control: control.start({}), "start a run"),
        ("ListRuns", lambda control: control.status(1), "follow a run"),
        ("ListRuns", lambda control: control.stop_unfinished(), "list the runs"),
        ("StopRun", lambda control: control.stop(1), "stop a run"),
        ("RegisterNode", lambda control: control.register({"ash": node_key()}, print), "register a node"),
    ],
)
def test_a_superlink_that_does_not_answer_is_one_sentence(
    control: Control, superlink: SuperLink, method: str, ask: Callable[[Control], object], what: str
) -> None:
    with (
        patch.object(superlink, method, side_effect=httpx.ConnectError("secret address")),
        pytest.raises(DeploymentError, match=rf"^could not {what} at SuperLink \(ConnectError\); see logs/superlink.log$"),
    ):
        ask(control)


def test_other_errors_are_not_dressed_up(control: Control, superlink: SuperLink) -> None:
    with patch.object(superlink, "StopRun", side_effect=ZeroDivisionError), pytest.raises(ZeroDivisionError):
        control.stop(1)
