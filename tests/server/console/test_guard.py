"""Without a session every path is the same; with one, a failure tells nothing; and a form has to come from this very host."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

from server.console.access import Access
from server.console.guard import COOKIE, HEADERS, Guard, same_origin, token_of


async def inner(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/console/fails":
        raise ValueError("a record of a patient")
    await PlainTextResponse(scope["state"]["token"] or "nobody")(scope, receive, send)


def ask(folder: Path, path: str, **options: Any) -> httpx.Response:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(Guard(inner, Access(folder)))
        async with httpx.AsyncClient(transport=transport, base_url="https://fl.example.org") as client:
            return await client.get(path, **options)

    return asyncio.run(run())


def session(folder: Path) -> str:
    access = Access(folder)
    token = access.sign_in(access.make_code())
    assert token is not None
    return token


@pytest.mark.parametrize("path", ["/console", "/console/runs/x", "/console/none", "/", "/console/login/x", "/console/assets/other.js"])
def test_without_a_session_every_path_is_the_same(tmp_path: Path, path: str) -> None:
    answer = ask(tmp_path, path)
    assert (answer.status_code, answer.text) == (403, "forbidden\n")


@pytest.mark.parametrize("path", ["/console/login", "/console/assets/console.css", "/console/assets/console.js"])
def test_the_page_of_signing_in_is_for_everybody(tmp_path: Path, path: str) -> None:
    assert ask(tmp_path, path).text == "nobody"


def test_the_session_is_known_within(tmp_path: Path) -> None:
    token = session(tmp_path)
    assert ask(tmp_path, "/console", headers={"cookie": f"other=1; {COOKIE}={token}"}).text == token


@pytest.mark.parametrize("form", ["{0}; {1}={0}", "{0}, {1}={0}", "x{0}", "{0}x", "", "'; DROP", "*"])
def test_a_cookie_that_is_not_the_session_s_or_comes_twice_is_none(tmp_path: Path, form: str) -> None:
    value = form.format(session(tmp_path), COOKIE)
    assert ask(tmp_path, "/console", headers={"cookie": f"{COOKIE}={value}"}).status_code == 403


def test_two_lines_of_cookies_are_looked_at_together() -> None:
    lines = [(b"cookie", f"{COOKIE}=a".encode()), (b"cookie", f"{COOKIE}=b".encode())]
    assert token_of(Headers(raw=lines)) == ""
    assert token_of(Headers(raw=lines[:1])) == "a"


@pytest.mark.parametrize("path", ["/console", "/console/login", "/console/fails"])
def test_every_answer_says_what_a_browser_may_not_do(tmp_path: Path, path: str) -> None:
    for headers in ({}, {"cookie": f"{COOKIE}={session(tmp_path)}"}):
        answer = ask(tmp_path, path, headers=headers)
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "'unsafe" not in HEADERS["content-security-policy"]


def test_a_failure_tells_neither_the_caller_nor_the_log_what_it_was_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answer = ask(tmp_path, "/console/fails", headers={"cookie": f"{COOKIE}={session(tmp_path)}"})
    assert answer.status_code == 500
    assert "patient" not in answer.text + caplog.text
    assert "ValueError at" in caplog.text


def test_a_web_socket_is_refused(tmp_path: Path) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Guard(inner, Access(tmp_path))({"type": "websocket", "path": "/console/login", "headers": []}, send, send))  # type: ignore[arg-type]
    assert not any(message["type"] == "websocket.accept" for message in sent)


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({}, True),
        ({"origin": "https://fl.example.org:8443"}, True),
        ({"origin": "https://fl.example.org:8443", "sec-fetch-site": "same-origin"}, True),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "https://fl.example.org:9000"}, False),
        ({"origin": "http://fl.example.org:8443"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "none"}, False),
    ],
)
def test_where_a_form_was(headers: dict[str, str], same: bool) -> None:
    assert same_origin(Headers({"host": "fl.example.org:8443", **headers})) is same
