"""The API's two servers: one where nobody is let in without a certificate of the CA, and one for ``Join`` that bears little."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest

from client.link import Link, open_join_link, open_link
from server import api
from server.api import MOST_JOINING, Api
from server.enrolment_service import JOIN
from server.membership import Membership
from shared.enrolment import Connection
from shared.errors import DeploymentError, FedstillError, IdentityError
from shared.logs import JSON_VARIABLE
from shared.rpc import artifacts_pb2, enrolment_pb2, runs_pb2
from shared.rpc.services import ARTIFACTS, ENROLMENT, RUNS, Stub
from tests.support.opened import make_coordinator, make_member

_T = TypeVar("_T")
CALL_S = 20.0


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[int, int]]:
    """The API over ``folder``, for as long as the block runs; gives its two ports."""
    made = Api(folder)
    ports = made.listen()
    await made.start()
    try:
        yield ports
    finally:
        await made.stop(0)


def asked(folder: Path, ask: Callable[[int, int], _T]) -> _T:
    """What ``ask`` makes of the two ports of a running API, in a thread of its own."""

    async def run() -> _T:
        async with serving(folder) as ports:
            return await asyncio.to_thread(ask, *ports)

    return asyncio.run(run())


def refused(link: Link, service: Any, method: str, request: Any) -> grpc.StatusCode:
    answer = Stub(link.channel, service).call(method)
    with pytest.raises(grpc.RpcError) as caught:
        _whole(answer(request, timeout=CALL_S))
    code: grpc.StatusCode = caught.value.code()
    return code


def _whole(answer: Any) -> None:
    """Takes a stream's answers, too."""
    if hasattr(answer, "__next__"):
        list(answer)


def trust(folder: Path) -> bytes:
    return (folder / "keys" / "ca.crt").read_bytes()


def at(port: int) -> Connection:
    return Connection(address=f"127.0.0.1:{port}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_coordinator(tmp_path / "coordinator")


def test_where_certificates_are_asked_for_nothing_is_answered_without_one(folder: Path) -> None:
    def ask(mutual: int, _: int) -> None:
        with open_join_link(at(mutual), trust(folder)) as link, pytest.raises(DeploymentError, match="cannot be reached"):
            link.call(ENROLMENT, JOIN, enrolment_pb2.JoinRequest(), timeout=3.0)

    asked(folder, ask)


def test_where_none_is_asked_for_there_is_join_and_nothing_else(folder: Path) -> None:
    calls: list[tuple[Any, str, Any]] = [
        (ENROLMENT, "Renew", enrolment_pb2.RenewRequest()),
        (ENROLMENT, "Roster", enrolment_pb2.RosterRequest()),
        (RUNS, "List", runs_pb2.ListRunsRequest()),
        (RUNS, "Events", runs_pb2.RunEventsRequest(run="trial-1")),
        (ARTIFACTS, "List", artifacts_pb2.ListArtifactRequest(run="trial-1")),
    ]

    def ask(_: int, join: int) -> None:
        with open_join_link(at(join), trust(folder)) as link:
            assert {refused(link, *call) for call in calls} == {grpc.StatusCode.UNIMPLEMENTED}
            assert refused(link, ENROLMENT, JOIN, enrolment_pb2.JoinRequest()) == grpc.StatusCode.PERMISSION_DENIED

    asked(folder, ask)


def test_a_member_has_all_but_join(folder: Path, tmp_path: Path) -> None:
    home = make_member(folder, tmp_path / "va")

    def ask(mutual: int, _: int) -> None:
        with open_link(home, connection=at(mutual)) as link:
            assert link.call(ENROLMENT, "Roster", enrolment_pb2.RosterRequest()).roster
            assert not link.call(RUNS, "List", runs_pb2.ListRunsRequest()).runs
            assert refused(link, ENROLMENT, JOIN, enrolment_pb2.JoinRequest()) == grpc.StatusCode.UNIMPLEMENTED

    asked(folder, ask)


def test_strangers_who_want_to_join_take_nothing_from_members(folder: Path, tmp_path: Path) -> None:
    """With invitations in hand, while somebody holds the folder's lock: few of them wait, in one thread, and members are answered."""
    home = make_member(folder, tmp_path / "va")
    public = Membership(folder).invite("cl", at(8443), 3600.0).public

    async def run() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(3))
        async with serving(folder) as (mutual, join), asyncio.timeout(4 * CALL_S):
            credentials = grpc.ssl_channel_credentials(trust(folder))
            named = (("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1))
            channels = [grpc.aio.secure_channel(f"127.0.0.1:{join}", credentials, options=named) for _ in range(2)]
            with (folder / "enrolment" / "lock").open("ab") as held:
                fcntl.flock(held, fcntl.LOCK_EX)
                calls = [
                    asyncio.ensure_future(
                        _code(Stub(channels[number % 2], ENROLMENT).call(JOIN)(enrolment_pb2.JoinRequest(invitation=public)))
                    )
                    for number in range(MOST_JOINING + 3)
                ]
                done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
                while len(done) < 3:
                    more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    done |= more
                assert {call.result() for call in done} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
                await _answered_to_a_member(home, mutual)
            codes = await asyncio.gather(*waiting)
            assert set(codes) == {grpc.StatusCode.PERMISSION_DENIED}
            for channel in channels:
                await channel.close()

    asyncio.run(run())


async def _code(call: Awaitable[Any]) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def _answered_to_a_member(home: Path, port: int) -> None:
    def ask() -> None:
        with open_link(home, connection=at(port)) as link:
            assert link.call(ENROLMENT, "Roster", enrolment_pb2.RosterRequest()).roster

    with ThreadPoolExecutor(1) as own:
        await asyncio.get_running_loop().run_in_executor(own, ask)


def ends_by_itself(folder: Path, port: int, wait_s: float) -> bool:
    """Whether a connection on which nothing but HTTP/2's greeting is said is ended from the other side within ``wait_s`` seconds."""
    context = ssl.create_default_context(cadata=trust(folder).decode())
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=wait_s) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as talking,
    ):
        talking.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        try:
            while talking.recv(4096):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True


def test_a_stranger_s_connection_ends_after_a_while(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "JOIN_AGE_S", 0.1)
    monkeypatch.setattr(api, "JOIN_GRACE_S", 0.1)
    assert asked(folder, lambda _, join: ends_by_itself(folder, join, 15.0))


def test_a_key_that_others_can_read_is_not_served_with(folder: Path) -> None:
    (folder / "keys" / "server.key").chmod(0o644)

    async def run() -> Any:
        made = Api(folder)
        try:
            return made.listen()
        finally:
            await made.stop(0)

    with pytest.raises(IdentityError, match="chmod 600"):
        asyncio.run(run())


def test_what_is_wrong_at_the_coordinator_is_told_to_its_operator_alone(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    public = Membership(folder).invite("va", at(8443), 3600.0).public
    content = trust(folder)

    def ask(_: int, join: int) -> str:
        (folder / "keys" / "ca.crt").write_bytes(b"damaged")
        with open_join_link(at(join), content) as link, pytest.raises(FedstillError) as caught:
            link.call(ENROLMENT, JOIN, enrolment_pb2.JoinRequest(invitation=public))
        return str(caught.value)

    said = asked(folder, ask)
    assert "its operator finds the cause in its log" in said
    assert str(folder) not in said
    assert "ca.crt" in caplog.text


def test_the_process_logs_as_its_service_does(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In JSON where that was asked for, with what membership says among it."""

    async def once(where: Path, mutual_port: int, join_port: int) -> None:
        assert (where, mutual_port, join_port) == (folder, 1, 2)
        Membership(folder).invite("va", at(8443), 3600.0)

    root = logging.getLogger()
    monkeypatch.setenv(JSON_VARIABLE, "1")
    monkeypatch.setattr(api, "serve", once)
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    api.main(["--folder", str(folder), "--port", "1", "--join-port", "2"])
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["message"].split()[:2] for line in lines if line["logger"] == "fedstill.membership"] == [["invited", "va"]]
