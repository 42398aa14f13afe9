"""Only fleet calls pass, letter for letter; everything else ends at the door, whatever way it is spelt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.gateway import Gateway, is_fleet_call

FLEET = ["/v1/fleet/activate-node", "/v1/fleet/pull-messages", "/v1/fleet/push-object", "/v1/fleet/get-fab"]
ELSEWHERE = [
    "/",
    "/console",
    "/console/login",
    "/docs",
    "/openapi.json",
    "/health",
    "/v1/control/start-run",
    "/v1/control/list-runs",
    "/v1/runtime/acquire-task",
    "/v1/fleet",
    "/v1/fleet/",
    "/V1/fleet/pull-messages",
    "/v1/fleets/pull-messages",
    "//v1/fleet/pull-messages",
    "/v1/fleet//pull-messages",
    "/v1/fleet/pull-messages/",
    "/v1/fleet/pull-messages?next=/v1/control/start-run",
    "/v1/fleet/../control/start-run",
    "/v1/fleet/..%2fcontrol/start-run",
    "/v1/fleet/%2e%2e/control/start-run",
    "/v1/fleet/..;/control/start-run",
    "/v1/fleet/a%0d%0aHost:%20x",
    "/v1/fleet/..\\control",
    "http://127.0.0.1/v1/control/start-run",
]


def split(target: str) -> tuple[bytes, bytes]:
    path, _, query = target.partition("?")
    return path.encode(), query.encode()


@pytest.mark.parametrize("path", FLEET)
def test_fleet_calls_are_known(path: str) -> None:
    assert is_fleet_call(*split(path))


@pytest.mark.parametrize("path", ELSEWHERE)
def test_everything_else_is_not_a_fleet_call(path: str) -> None:
    assert not is_fleet_call(*split(path))


def test_the_ca_s_certificate_is_given_by_its_one_name_and_to_readers_alone() -> None:
    async def answers() -> list[tuple[int, bytes]]:
        gateway = Gateway(None, ca=b"a certificate")
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway), base_url="https://gateway") as client:
            asked = [
                await client.request(method, path)
                for method, path in (("GET", "/ca.crt"), ("POST", "/ca.crt"), ("HEAD", "/ca.crt"), ("GET", "/ca.crt?a"), ("GET", "/CA.crt"))
            ]
            asked.append(await client.post("/v1/fleet/pull-messages"))
            return [(answer.status_code, answer.content) for answer in asked]

    first, *others = asyncio.run(answers())
    assert first == (200, b"a certificate")
    assert [code for code, _ in others] == [403, 403, 403, 403, 503], "and without a SuperLink the fleet is told that no run is on"


def test_a_server_that_names_no_raw_path_is_not_trusted() -> None:
    assert not is_fleet_call(None, b"")


async def _echo(request: Request) -> Response:
    body = await request.body()
    return Response(body, headers={"x-path": request.url.path, "x-key": request.headers.get("flwr-key", ""), "x-size": str(len(body))})


def through(
    send: Callable[[httpx.AsyncClient], Awaitable[httpx.Response]], *, upstream: Any = None, largest_body: int = 1000
) -> httpx.Response:
    """What a client gets through a gateway in front of ``upstream`` (default: an application that says what it got)."""
    inner = upstream or Starlette(routes=[Route("/{rest:path}", _echo, methods=["GET", "POST", "PUT", "DELETE"])])

    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(inner), base_url="https://superlink") as client:
            gateway = Gateway(client, largest_body=largest_body)
            async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway), base_url="https://gateway") as outer:
                return await send(outer)

    return asyncio.run(run())


@pytest.mark.parametrize("path", FLEET)
def test_a_fleet_call_arrives_whole(path: str) -> None:
    answer = through(lambda client: client.post(path, content=b"a message", headers={"flwr-key": "abc"}))
    assert (answer.status_code, answer.content) == (200, b"a message")
    assert (answer.headers["x-path"], answer.headers["x-key"]) == (path, "abc")


@pytest.mark.parametrize(
    "path", ["/v1/control/start-run", "/docs", "/openapi.json", "/v1/runtime/acquire-task", "/", "/console", "/console/login"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_other_calls_end_at_the_door(path: str, method: str) -> None:
    answer = through(lambda client: client.request(method, path))
    assert answer.status_code == 403
    assert "x-path" not in answer.headers


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"])
def test_other_methods_end_at_the_door(method: str) -> None:
    assert through(lambda client: client.request(method, "/v1/fleet/pull-messages")).status_code == 403


def test_a_body_that_announces_too_much_is_refused() -> None:
    assert through(lambda client: client.post("/v1/fleet/push-object", content=bytes(1001))).status_code == 413
    assert through(lambda client: client.post("/v1/fleet/push-object", content=bytes(1000))).status_code == 200


def test_a_body_that_grows_too_much_is_refused() -> None:
    async def grow() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield bytes(100)

    assert through(lambda client: client.post("/v1/fleet/push-object", content=grow())).status_code == 413


@pytest.mark.parametrize(
    ("error", "status"), [(httpx.ConnectError("gone"), 502), (httpx.ReadError("broke"), 502), (httpx.ReadTimeout("slow"), 504)]
)
def test_a_superlink_that_is_not_there_is_said_in_codes_that_flower_tries_again(error: Exception, status: int) -> None:
    async def fail(request: httpx.Request) -> httpx.Response:
        raise error

    async def run() -> httpx.Response:
        async with (
            httpx.AsyncClient(transport=httpx.MockTransport(fail), base_url="https://superlink") as client,
            httpx.AsyncClient(transport=httpx.ASGITransport(Gateway(client)), base_url="https://gateway") as outer,
        ):
            return await outer.post("/v1/fleet/pull-messages", content=b"x")

    assert asyncio.run(run()).status_code == status
