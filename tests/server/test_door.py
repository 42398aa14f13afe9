"""The door tells greetings apart with OpenSSL's own eyes, hands connections on whole, and waits for nobody without end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.door import LARGEST_HELLO, Door, Greeting, Hello, Inner, inner_port, sieve, site_of
from shared.certificates import JOIN_HOST
from shared.processes import free_port
from tests.support.certificates import make_pair
from tests.support.opened import Opened, make_coordinator, opened

INNER = Inner(web=1, api=2, join=3)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return sieve(*make_pair(tmp_path_factory.mktemp("door"), "localhost"))


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    with opened(make_coordinator(tmp_path_factory.mktemp("door") / "coordinator")) as made:
        yield made


def greeting(*protocols: str, host: str | None = None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """The first bytes of a client that offers these protocols and asks for ``host``."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.maximum_version = version
    if protocols:
        client.set_alpn_protocols(list(protocols))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        client.wrap_bio(incoming, outgoing, server_hostname=host).do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("protocols", "host", "port"),
    [
        (("h2",), "fl.example.org", 2),
        (("h2",), None, 2),
        (("h2",), JOIN_HOST, 3),
        (("h2", "http/1.1"), JOIN_HOST, 1),
        (("http/1.1",), "fl.example.org", 1),
        (("acme-tls/1",), "fl.example.org", 1),
        ((), JOIN_HOST, 1),
        ((), None, 1),
    ],
)
def test_a_greeting_says_where_it_goes(
    context: ssl.SSLContext, protocols: tuple[str, ...], host: str | None, port: int, version: ssl.TLSVersion
) -> None:
    hello = Greeting(context).read(greeting(*protocols, host=host, version=version))
    assert hello is not None
    assert inner_port(hello, INNER) == port


@given(st.integers(min_value=1, max_value=40))
def test_a_greeting_in_pieces_is_the_same(context: ssl.SSLContext, size: int) -> None:
    whole, reading = greeting("h2", host=JOIN_HOST), Greeting(context)
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
    answers = [reading.read(piece) for piece in pieces]
    assert answers[:-1] == [None] * (len(pieces) - 1)
    assert answers[-1] == Hello("h2", JOIN_HOST)


@given(st.binary(min_size=6, max_size=300))
def test_nonsense_goes_nowhere_near_the_api(context: ssl.SSLContext, content: bytes) -> None:
    hello = Greeting(context).read(content)
    assert hello is None or inner_port(hello, INNER) == INNER.web


def through(door: Door, talk: Callable[[int], Awaitable[None]]) -> None:
    """Lets ``talk`` meet a door on a port of its own."""

    async def run() -> None:
        async with await asyncio.start_server(door.admit, "127.0.0.1", 0) as server, asyncio.timeout(20):
            await talk(server.sockets[0].getsockname()[1])

    asyncio.run(run())


async def leave(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        writer.close()
        await writer.wait_closed()


async def shown_out(reader: asyncio.StreamReader) -> bool:
    """Whether the door has ended the connection without a word."""
    try:
        return await reader.read(1) == b""
    except ConnectionError:
        return True


def test_who_says_nothing_is_shown_out(context: ssl.SSLContext) -> None:
    async def talk(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await shown_out(reader)
        await leave(writer)

    through(Door(context, INNER, hello_s=0.1), talk)


def test_a_greeting_without_end_is_not_kept(context: ssl.SSLContext) -> None:
    async def talk(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        # A handshake record that announces 16 MB of greeting.
        writer.write(b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(2 * LARGEST_HELLO))
        assert await shown_out(reader)
        await leave(writer)

    through(Door(context, INNER, inner_s=0.1), talk)


def test_the_last_bytes_of_an_answer_arrive(context: ssl.SSLContext) -> None:
    """Whoever is behind the door writes much and goes at once."""
    size = 5_000_000

    async def run() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(4096)
            writer.write(bytes(size))
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as inner:
            port = inner.sockets[0].getsockname()[1]
            door = Door(context, Inner(port, port, port))
            async with await asyncio.start_server(door.admit, "127.0.0.1", 0) as outer, asyncio.timeout(20):
                reader, writer = await asyncio.open_connection("127.0.0.1", outer.sockets[0].getsockname()[1])
                writer.write(greeting("http/1.1"))
                writer.write_eof()
                await asyncio.sleep(0.2)  # a reader that lets the door's buffers fill
                assert len(await reader.read(-1)) == size
                await leave(writer)

    asyncio.run(run())


def test_a_connection_waits_for_who_is_started_again(context: ssl.SSLContext) -> None:
    """A gateway that died is back in a second or two: nobody's greeting may end meanwhile."""
    port = free_port()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"served")
        await leave(writer)

    async def talk(outer: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", outer)
        writer.write(greeting("http/1.1"))
        await asyncio.sleep(0.3)
        async with await asyncio.start_server(answer, "127.0.0.1", port):
            assert await reader.read(-1) == b"served"
        await leave(writer)

    through(Door(context, Inner(port, port, port)), talk)


def test_nobody_behind_the_door_is_not_waited_for_for_ever(context: ssl.SSLContext) -> None:
    port = free_port()

    async def talk(outer: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", outer)
        writer.write(greeting("http/1.1"))
        assert await shown_out(reader)
        await leave(writer)

    through(Door(context, Inner(port, port, port), inner_s=0.3), talk)


def test_more_than_most_connections_are_shown_out_and_others_are_served(context: ssl.SSLContext) -> None:
    async def talk(port: int) -> None:
        _, first = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(0.05)
        reader, second = await asyncio.open_connection("127.0.0.1", port)
        assert await shown_out(reader)
        await leave(first)
        await leave(second)

    through(Door(context, INNER, most=1, hello_s=10.0), talk)


def test_one_address_takes_no_more_than_its_part(context: ssl.SSLContext) -> None:
    async def talk(port: int) -> None:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        await asyncio.sleep(0.05)
        reader, third = await asyncio.open_connection("127.0.0.1", port)
        assert await shown_out(reader)
        elsewhere, other = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await shown_out(elsewhere)
        await leave(held.pop()[1])
        for _ in range(100):  # until the door has seen that one left
            again, fourth = await asyncio.open_connection("127.0.0.1", port)
            try:
                async with asyncio.timeout(0.2):
                    assert await shown_out(again)
            except TimeoutError:
                break
            await leave(fourth)
        else:
            pytest.fail("the place of the one that left stays taken")
        for writer in (third, other, fourth, *(writer for _, writer in held)):
            await leave(writer)

    through(Door(context, INNER, most_of_one=2), talk)


@pytest.mark.parametrize(
    ("peer", "site"),
    [
        (("192.0.2.7", 5), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 5, 0, 0), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 5, 0, 2), "fe80::/64"),
        (("::ffff:192.0.2.7", 5, 0, 0), "192.0.2.7"),
        (None, ""),
    ],
)
def test_an_address_is_a_site_s(peer: tuple[object, ...] | None, site: str) -> None:
    assert site_of(peer) == site


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT"])
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/docs",
        "/openapi.json",
        "/health",
        "/v1/control/start-run",
        "/v1/control/list-runs",
        "/v1/control/unregister-node",
        "/v1/runtime/acquire-task",
        "/fedstill.v1.Enrolment/Join",
        "/flwr.proto.Control/StartRun",
        "/ca.key",
        "/ca.crt/",
        "/ca.crt?x",
        "/../keys/ca.key",
    ],
)
def test_from_outside_all_but_the_fleet_is_forbidden(coordinator: Opened, method: str, path: str) -> None:
    trust = ssl.create_default_context(cafile=str(coordinator.folder / "keys" / "ca.crt"))
    answer = httpx.request(method, f"https://127.0.0.1:{coordinator.port}{path}", verify=trust, timeout=10, trust_env=False)
    assert answer.status_code == 403


def test_from_outside_the_ca_s_certificate_is_public_and_the_fleet_says_that_no_run_is_on(coordinator: Opened) -> None:
    ca = coordinator.folder / "keys" / "ca.crt"
    trust = ssl.create_default_context(cafile=str(ca))
    with httpx.Client(base_url=f"https://127.0.0.1:{coordinator.port}", verify=trust, trust_env=False) as client:
        assert client.get("/ca.crt").content == ca.read_bytes()
        assert client.post("/ca.crt").status_code == 403
        assert client.post("/v1/fleet/pull-messages").status_code == 503


@pytest.mark.parametrize("method", ["/flwr.proto.Control/StartRun", "/flwr.proto.Control/ListRuns", "/fedstill.v1.Edge/Predict", "/x/y"])
def test_from_outside_grpc_has_our_services_only(coordinator: Opened, tmp_path: Path, method: str) -> None:
    import grpc

    from client.link import open_link

    name = "outside"
    if name not in {one.name for one in coordinator.membership.members()}:
        coordinator.let_in(name, coordinator.folder.parent / name)
    with open_link(coordinator.folder.parent / name) as link, pytest.raises(grpc.RpcError) as caught:
        link.channel.unary_unary(method)(b"", timeout=10)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_plain_text_gets_no_answer_of_ours(coordinator: Opened) -> None:
    with socket.create_connection(("127.0.0.1", coordinator.port), timeout=10) as plain:
        plain.sendall(b"GET /v1/control/list-runs HTTP/1.1\r\nHost: x\r\n\r\n")
        heard = b""
        try:
            while piece := plain.recv(4096):
                heard += piece
        except ConnectionError:
            pass
    assert b"HTTP" not in heard
