"""In front of every page: nobody without a session gets through, and every answer says what a browser may not do with it."""

from __future__ import annotations

import logging

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.console.access import Access
from server.console.paths import LOGIN, ROOT
from shared.logs import kind_and_place

COOKIE = "__Host-fedstill-console"
"""The prefix lets a browser take the cookie only over TLS, from this very host, for all of its paths."""
OPEN = frozenset({LOGIN, f"{ROOT}/assets/console.css", f"{ROOT}/assets/console.js"})
"""What everybody gets: the page on which one signs in, its looks and its script."""
FAILED = "something failed; the coordinator's logs/console.log says where\n"
_LOG = logging.getLogger("fedstill.console")
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    # Not "no-referrer": with that, browsers send no origin with a form, and the origin is looked at.
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "vary": "cookie, accept",
}


class Guard:
    """Wraps the application; ``scope["state"]["token"]`` is the session's token for whoever is within."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands a request on, or answers 403, the same for every path, whether there is such a page or not."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        token = token_of(Headers(scope=scope)) if scope["type"] == "http" else ""
        signed_in = self._access.holds(token)
        if scope["type"] != "http" or not (signed_in or scope["path"] in OPEN):
            await forbidden()(scope, receive, answer.send)
            return
        scope.setdefault("state", {})["token"] = token if signed_in else ""
        try:
            await self._app(scope, receive, answer.send)
        except Exception as error:
            # Nobody foresaw it, and its text may quote what is in no log: where it arose is enough.
            _LOG.error("a page failed: %s", kind_and_place(error))
            if not answer.begun:
                await PlainTextResponse(FAILED, 500)(scope, receive, answer.send)


class _Answer:
    """Puts :data:`HEADERS` on an answer, and knows whether it has begun."""

    def __init__(self, send: Send) -> None:
        self._send, self.begun = send, False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun, headers = True, MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await self._send(message)


def token_of(headers: Headers) -> str:
    """The token that a request's cookie has; empty without one, and where several are sent, of which at most one can be ours."""
    found = [value for line in headers.getlist("cookie") for part in line.split(";") for value in _named(part)]
    return found[0] if len(found) == 1 else ""


def forbidden() -> PlainTextResponse:
    """The answer of all paths that are not for outside (``server/gateway.py``)."""
    return PlainTextResponse("forbidden\n", 403)


def same_origin(headers: Headers) -> bool:
    """Whether a browser says that a form was on a page of this very host; also true of programs, which say nothing and have no cookie jar
    that another site could use."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    return origin in (None, f"https://{headers.get('host', '')}") and site in (None, "same-origin")


def _named(part: str) -> list[str]:
    return [value for name, value in cookie_parser(part).items() if name == COOKIE]
