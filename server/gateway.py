"""What the coordinator's door has for plain HTTPS: a reverse proxy that lets Flower's fleet calls through and nothing else.

Flower's SuperLink serves three interfaces on one port, and its Control interface has no authentication: whoever
reaches it can start code in every institution. So it listens on loopback only, and this is what faces outwards, with
TLS, behind ``server/door.py``. The one thing that it gives by itself is the CA's certificate, which is public: who
wants to join compares it with the fingerprint in the invitation. A path is let through only if it *is*
``/v1/fleet/<name>``, letter for letter: anything that some parser could read as another path (dots, percent signs,
double slashes) is refused before any parser sees it. The operator's console is behind it too, with rules as strict and connections of its
own (``server/console/passage.py``).
"""

from __future__ import annotations

import argparse
import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from server.console.passage import MOST_AT_ONCE, Passage

LARGEST_BODY = 64 * 2**20
"""Bytes of the largest request body; Flower cuts what it sends into pieces of 5 MiB."""
CONNECT_S, READ_S, BODY_S = 5.0, 120.0, 120.0
"""Bounds of the waits for SuperLink to accept, for its next bytes, and for a request's whole body."""
MOST_CONNECTIONS = 512
"""Connections at a time; more are answered 503, which Flower's client tries again."""

CA_PATH = b"/ca.crt"
"""Where the CA's certificate is, for whoever wants to join (``client/joining.py``)."""
_FLEET = re.compile(rb"/v1/fleet/[a-z]+(-[a-z]+)*")
_METHODS = frozenset({"GET", "POST"})
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "host"}
)


class _TooLargeError(Exception):
    """The body has more than :data:`LARGEST_BODY` bytes."""


class Gateway:
    """The proxy as an ASGI application; ``client`` has SuperLink's address as its base URL."""

    def __init__(
        self, client: httpx.AsyncClient | None, *, ca: bytes = b"", console: Passage | None = None, largest_body: int = LARGEST_BODY
    ) -> None:
        """Without ``client`` there is no SuperLink: every fleet call is answered 503, which Flower's client tries again."""
        self._client = client
        self._ca, self._console = ca, console
        self._largest_body = largest_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request: 403 unless it is the fleet's or the console's, 413 if it is too large, 502/504 if SuperLink is not there."""
        request = Request(scope, receive)
        response = await self._answer(request)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if self._ca and request.method == "GET" and (request.scope.get("raw_path"), request.scope.get("query_string")) == (CA_PATH, b""):
            return Response(self._ca, media_type="application/x-pem-file")
        if self._console is not None and self._console.is_for(request):
            return await self._console.answer(request)
        if request.method not in _METHODS or not is_fleet_call(request.scope.get("raw_path"), request.scope.get("query_string", b"")):
            return PlainTextResponse("forbidden\n", 403)
        if int(request.headers.get("content-length") or 0) > self._largest_body:
            return PlainTextResponse("too large\n", 413)
        if self._client is None:
            return PlainTextResponse("no run is on\n", 503)
        try:
            return await self._forward(request, self._client)
        except _TooLargeError:
            return PlainTextResponse("too large\n", 413)
        except (TimeoutError, httpx.TimeoutException):
            return PlainTextResponse("the coordinator took too long\n", 504)
        except (httpx.TransportError, ClientDisconnect):
            return PlainTextResponse("the coordinator is not there\n", 502)

    async def _forward(self, request: Request, client: httpx.AsyncClient) -> Response:
        headers = [(name, value) for name, value in request.headers.items() if name not in _HOP_BY_HOP]
        outgoing = client.build_request(request.method, request.scope["path"], headers=headers, content=self._body(request))
        answer = await client.send(outgoing, stream=True)
        kept = {name: value for name, value in answer.headers.items() if name not in _HOP_BY_HOP}
        return StreamingResponse(_read(answer), answer.status_code, kept)

    async def _body(self, request: Request) -> AsyncIterator[bytes]:
        size = 0
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > self._largest_body:
                    raise _TooLargeError
                yield chunk


def is_fleet_call(raw_path: bytes | None, query: bytes) -> bool:
    """Whether the request line names a fleet method and nothing that could be read as another path."""
    return raw_path is not None and not query and _FLEET.fullmatch(raw_path) is not None


def make_app(superlink: str | None, ca: Path, console: str | None = None) -> Starlette:
    """The gateway in front of ``superlink`` (``https://127.0.0.1:PORT``; none while no run is on) and ``console`` (none: it is shut).

    Both must prove themselves to the CA.
    """
    trust = ssl.create_default_context(cafile=str(ca))
    inward = httpx.AsyncHTTPTransport(verify=trust, trust_env=False, limits=httpx.Limits(max_connections=MOST_AT_ONCE))
    client = httpx.AsyncClient(
        base_url=superlink or "",
        verify=trust,
        timeout=httpx.Timeout(READ_S, connect=CONNECT_S),
        limits=httpx.Limits(max_connections=MOST_CONNECTIONS, max_keepalive_connections=64),
        trust_env=False,
        follow_redirects=False,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with client, inward:
            yield

    app = Starlette(lifespan=lifespan)
    passage = Passage(inward, console) if console else None
    # Not mounted: what is no path at all ("*", a whole URL) is refused as everything else is.
    app.router.default = Gateway(client if superlink else None, ca=ca.read_bytes(), console=passage)
    return app


def main(arguments: list[str] | None = None) -> None:
    """Serves the gateway until it is told to end: ``python -m server.gateway --superlink https://127.0.0.1:8000 …``."""
    parser = argparse.ArgumentParser(
        description="Let Flower's fleet calls through to a SuperLink on loopback, the console's to it, and nothing else."
    )
    parser.add_argument("--superlink")
    parser.add_argument("--console")
    for name in ("--ca", "--certificate", "--key", "--host"):
        parser.add_argument(name, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args(arguments)
    uvicorn.run(
        make_app(options.superlink, Path(options.ca), options.console),
        host=options.host,
        port=options.port,
        ssl_certfile=options.certificate,
        ssl_keyfile=options.key,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=5,
        ws="none",
        access_log=False,
        server_header=False,
        log_level="warning",
    )


async def _read(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()


if __name__ == "__main__":
    main()
