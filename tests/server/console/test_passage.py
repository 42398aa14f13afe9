"""What the gateway hands on is made anew: nothing of a client's request gets inwards that the console does not read."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from server.console.passage import KEPT, LARGEST_PAGE, MOST_AT_ONCE, PASSED, Passage
from server.console.paths import LARGEST_FORM
from server.gateway import Gateway

Inward = Callable[[httpx.Request], Awaitable[httpx.Response]]


class Transport(httpx.AsyncBaseTransport):
    """Answers as the test says, and keeps what came."""

    def __init__(self, answer: Inward) -> None:
        self._answer, self.seen = answer, list[httpx.Request]()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        return await self._answer(request)


async def hello(request: httpx.Request) -> httpx.Response:
    headers = [("set-cookie", "a=1"), ("set-cookie", "b=2"), ("server", "x"), ("content-type", "text/html"), ("x-frame-options", "DENY")]
    return httpx.Response(200, headers=headers, stream=httpx.ByteStream(b"hello"))


def through(send: Callable[[httpx.AsyncClient], Awaitable[Any]], answer: Inward = hello) -> tuple[Any, list[httpx.Request]]:
    transport = Transport(answer)

    async def run() -> Any:
        gateway = Gateway(None, console=Passage(transport, "https://127.0.0.1:9", patience_s=0.0))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway), base_url="https://fl.example.org") as client:
            return await send(client)

    return asyncio.run(run()), transport.seen


def test_a_request_is_made_anew_with_the_headers_that_are_read() -> None:
    headers = {
        "cookie": "session=1",
        "accept": "text/html",
        "x-forwarded-for": "10.0.0.1",
        "transfer-encoding": "chunked",
        "connection": "keep-alive, cookie",
        "te": "trailers",
        "upgrade": "websocket",
        "content-length": "0",
        "authorization": "Basic x",
        "flwr-key": "k",
    }
    answer, (seen,) = through(lambda client: client.get("/console/runs?page=2", headers=headers))
    assert (answer.status_code, answer.text) == (200, "hello")
    assert str(seen.url) == "https://127.0.0.1:9/console/runs?page=2"
    assert dict(seen.headers) == {"cookie": "session=1", "accept": "text/html", "host": "fl.example.org"}
    assert set(seen.headers) <= set(PASSED)


def test_an_answer_has_the_headers_that_go_on_and_every_cookie() -> None:
    answer, _ = through(lambda client: client.get("/console"))
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert "server" not in answer.headers
    assert set(answer.headers) <= KEPT | {"content-length"}


def test_a_form_goes_on_whole_with_its_own_length() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"code"
        yield b"=a"

    headers = {"content-type": "application/x-www-form-urlencoded"}
    _, (seen,) = through(lambda client: client.post("/console/login", content=pieces(), headers=headers))
    assert seen.read() == b"code=a"
    assert seen.headers["content-length"] == "6"
    assert "transfer-encoding" not in seen.headers


def test_one_caller_s_cookie_is_not_sent_for_another() -> None:
    async def two(client: httpx.AsyncClient) -> None:
        await client.get("/console/login")
        client.cookies.clear()
        await client.get("/console")

    _, seen = through(two)
    assert ["cookie" in request.headers for request in seen] == [False, False]


@pytest.mark.parametrize("path", ["/console/../v1/control/start-run", "/console/%2e%2e/x", "//console", "/console/", "/console?next=/v1"])
def test_what_is_not_the_console_s_is_refused_before_it(path: str) -> None:
    answer, seen = through(lambda client: client.get(httpx.URL("https://fl.example.org").copy_with(raw_path=path.encode())))
    assert (answer.status_code, seen) == (403, [])


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"])
def test_other_methods_are_refused(method: str) -> None:
    answer, seen = through(lambda client: client.request(method, "/console"))
    assert (answer.status_code, seen) == (403, [])


def test_where_the_console_is_shut_it_is_as_if_it_were_not_there() -> None:
    async def run() -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(Gateway(None)), base_url="https://fl.example.org") as client:
            return (await client.get("/console/login")).status_code

    assert asyncio.run(run()) == 403


def test_a_large_form_is_not_handed_on() -> None:
    answer, seen = through(lambda client: client.post("/console/login", content=bytes(LARGEST_FORM + 1)))
    assert (answer.status_code, seen) == (413, [])


@pytest.mark.parametrize(
    ("error", "status"), [(httpx.ConnectError("gone"), 502), (httpx.ReadTimeout("slow"), 504), (httpx.PoolTimeout("full"), 504)]
)
def test_a_console_that_is_not_there_is_said(error: Exception, status: int) -> None:
    async def fail(request: httpx.Request) -> httpx.Response:
        raise error

    assert through(lambda client: client.get("/console"), fail)[0].status_code == status


def test_a_console_that_is_just_starting_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.console.passage.AGAIN_S", 0.0)
    left = [httpx.ConnectError("not yet"), httpx.ConnectError("not yet")]

    async def starting(request: httpx.Request) -> httpx.Response:
        if left:
            raise left.pop()
        return await hello(request)

    transport = Transport(starting)

    async def run() -> int:
        gateway = Gateway(None, console=Passage(transport, "https://127.0.0.1:9"))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway), base_url="https://fl.example.org") as client:
            return (await client.post("/console/login", content=b"code=a")).status_code

    assert asyncio.run(run()) == 200
    assert [request.read() for request in transport.seen] == [b"code=a"] * 3


def test_a_page_without_end_is_cut_off() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(LARGEST_PAGE // 2**20 + 1):
            yield bytes(2**20)

    async def large(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=pieces())

    assert through(lambda client: client.get("/console"), large)[0].status_code == 502


def test_who_waits_for_the_console_is_bounded_and_places_come_back() -> None:
    async def run(client: httpx.AsyncClient) -> tuple[list[int], int]:
        waiting = [asyncio.create_task(client.get("/console")) for _ in range(MOST_AT_ONCE + 3)]
        await asyncio.sleep(0.1)
        released.set()
        return [(await task).status_code for task in waiting], (await client.get("/console")).status_code

    released = asyncio.Event()

    async def hold(request: httpx.Request) -> httpx.Response:
        await released.wait()
        return await hello(request)

    (codes, after), _ = through(run, hold)
    assert sorted(codes) == [200] * MOST_AT_ONCE + [503] * 3
    assert after == 200


def test_a_stream_is_handed_on_and_gives_its_place_back() -> None:
    closed: list[bool] = []

    class Pieces(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"event: changed\n\n"

        async def aclose(self) -> None:
            closed.append(True)

    async def streaming(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Pieces())

    async def many(client: httpx.AsyncClient) -> list[str]:
        return [(await client.get("/console/stream")).text for _ in range(MOST_AT_ONCE + 1)]

    texts, _ = through(many, streaming)
    assert set(texts) == {"event: changed\n\n"}
    assert len(closed) >= MOST_AT_ONCE + 1


def test_what_faces_outwards_brings_no_store_with_it() -> None:
    words = (
        "import server.gateway, sys; print([name for name in ('sqlalchemy', 'fastapi', 'jinja2', 'server.store') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
