"""The gateway's way to the console: it hands on what is known to be the console's, made anew, and nothing that a client could hide in it.

The request that goes inwards is not the one that came: method, path and query were matched letter for letter (``paths.py``), of the
headers only those of :data:`PASSED` go on, and a body was read whole and has the length that it has. The transport is used bare, for an
``httpx`` client would keep one caller's cookie and send it for another.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from server.console.bounded import EVENT_STREAM, STREAM_S, BoundedStream
from server.console.paths import LARGEST_FORM, is_console_call

PASSED = ("accept", "content-type", "cookie", "host", "origin", "sec-fetch-site")
"""Headers of a request that the console reads."""
KEPT = frozenset(
    {
        "allow",
        "cache-control",
        "content-security-policy",
        "content-type",
        "cross-origin-opener-policy",
        "cross-origin-resource-policy",
        "location",
        "permissions-policy",
        "referrer-policy",
        "set-cookie",
        "vary",
        "x-content-type-options",
        "x-frame-options",
    }
)
"""Headers of an answer that go on."""
LARGEST_PAGE = 8 * 2**20
"""Bytes of the largest page."""
MOST_AT_ONCE, MOST_FORMS = 48, 16
"""Requests and streams that are with the console at a time, and forms that are being read; more are answered 503. So whoever hangs on
to the console takes nothing from the fleet's connections."""
PATIENCE_S, AGAIN_S = 20.0, 0.2
"""How long a request waits while nobody listens, for the console may just be starting, and between two tries."""
PAGE_S, FORM_S = 60.0, 10.0
"""Longest wait for the console's next bytes, and for a whole form."""


class Passage:
    """Hands requests on to the console at ``base`` (``https://127.0.0.1:PORT``) by ``transport``."""

    def __init__(self, transport: httpx.AsyncBaseTransport, base: str, *, patience_s: float = PATIENCE_S) -> None:
        self._transport, self._base, self._patience_s = transport, base, patience_s
        self._timeout = httpx.Timeout(PAGE_S, connect=5.0, pool=5.0).as_dict()
        self._within = self._forms = 0

    @staticmethod
    def is_for(request: Request) -> bool:
        """Whether this request may go to the console."""
        return is_console_call(request.method, request.scope.get("raw_path"), request.scope.get("query_string", b""))

    async def answer(self, request: Request) -> Response:
        """The console's answer; 413 for a large form, 502 and 504 where the console is not there, 503 where too much is asked at once."""
        try:
            body = await self._form(request)
            if body is None or self._within >= MOST_AT_ONCE:
                return PlainTextResponse("too much is asked at once\n", 503)
            if len(body) > LARGEST_FORM:
                return PlainTextResponse("too large\n", 413)
            return await self._asked(self._inward(request, body))
        except (TimeoutError, httpx.TimeoutException):
            return PlainTextResponse("the console took too long\n", 504)
        except (httpx.TransportError, ClientDisconnect):
            return PlainTextResponse("the console is not there\n", 502)

    async def _form(self, request: Request) -> bytes | None:
        """The body, or its beginning where it is too large; none of a GET, and ``None`` where many others are being read."""
        if request.method != "POST":
            return b""
        if self._forms >= MOST_FORMS:
            return None
        self._forms += 1
        try:
            body = b""
            async with asyncio.timeout(FORM_S):
                async for piece in request.stream():
                    body += piece
                    if len(body) > LARGEST_FORM:
                        break
            return body
        finally:
            self._forms -= 1

    def _inward(self, request: Request, body: bytes) -> httpx.Request:
        query = request.scope.get("query_string", b"").decode()
        url = f"{self._base}{request.scope['path']}{'?' if query else ''}{query}"
        headers = [(name, value) for name in PASSED for value in request.headers.getlist(name)[:1]]
        content = body if request.method == "POST" else None
        return httpx.Request(request.method, url, headers=headers, content=content, extensions={"timeout": self._timeout})

    async def _asked(self, inward: httpx.Request) -> Response:
        async with contextlib.AsyncExitStack() as held:
            held.enter_context(self._place())
            answer = await self._reached(inward)
            held.push_async_callback(answer.aclose)
            kept = [(name, value) for name, value in answer.headers.multi_items() if name in KEPT]
            if not answer.headers.get("content-type", "").startswith(EVENT_STREAM):
                return _whole(answer.status_code, kept, await _read(answer))
            kept = [(name, value) for name, value in kept if name != "content-type"]
            place = _handed_over(held.pop_all())
            return BoundedStream(answer.aiter_raw(), STREAM_S + 2 * FORM_S, place, status=answer.status_code, headers=dict(kept))

    async def _reached(self, inward: httpx.Request) -> httpx.Response:
        """Nothing was sent where no connection was made, so trying again does nothing twice."""
        end = time.monotonic() + self._patience_s
        while True:
            try:
                return await self._transport.handle_async_request(inward)
            except httpx.ConnectError:
                if time.monotonic() >= end:
                    raise
                await asyncio.sleep(AGAIN_S)

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        self._within += 1
        try:
            yield
        finally:
            self._within -= 1


@contextlib.asynccontextmanager
async def _handed_over(held: contextlib.AsyncExitStack) -> AsyncIterator[bool]:
    async with held:
        yield True


async def _read(answer: httpx.Response) -> bytes:
    body = b""
    async for piece in answer.aiter_raw():
        body += piece
        if len(body) > LARGEST_PAGE:
            raise httpx.ReadError("the page is too large")
    return body


def _whole(status: int, headers: list[tuple[str, str]], body: bytes) -> Response:
    made = Response(body, status)
    for name, value in headers:
        if name == "set-cookie":
            made.headers.append(name, value)
        else:
            made.headers[name] = value
    return made
