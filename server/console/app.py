"""The console on the wire: FastAPI over the readers, behind the guard. Only GET shows something; POST is for signing in and out."""

from __future__ import annotations

import asyncio
import hmac
import logging
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import FastAPI, Query
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.types import ASGIApp

from server.console.access import SESSION_S, Access, form_token
from server.console.audit import AuditReader
from server.console.bounded import STREAM_S, BoundedStream
from server.console.federation import FederationReader
from server.console.guard import COOKIE, Guard, forbidden, same_origin
from server.console.one_run import OneRunReader
from server.console.pages import Pages
from server.console.paths import LARGEST_FORM, LOGIN, LOGOUT, ROOT, STREAM
from server.console.pulse import Pulse, Streams, beats
from server.console.runs import RunReader
from server.console.throttle import Throttle
from server.site import CoordinatorSite
from shared.errors import FedstillError, MissingFileError

MOST_TRIES, TRIES_S = 30, 60.0
"""Attempts to sign in that name no open code, from everyone together, in so many seconds; who names one is not held up by them."""
FORM_S = 10.0
"""Longest wait for a whole form."""
ASSETS = Path(__file__).parent / "assets"
_KINDS = {"console.css": "text/css; charset=utf-8", "console.js": "text/javascript; charset=utf-8"}
_LOG = logging.getLogger("fedstill.console")
SENTENCES = {404: "There is no such page.", 429: "Too many attempts to sign in: try again in a minute."}

Page = Annotated[int, Query(ge=1, le=1_000_000)]


def make_app(folder: Path, *, access: Access | None = None, pulse: Pulse | None = None, streams: Streams | None = None) -> ASGIApp:
    """The console of a coordinator's folder; nothing is read before the first request."""
    site = CoordinatorSite(folder)
    access = access or Access(folder)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    pages = Pages()
    _add_pages(app, site, pages)
    _add_sign_in(app, access, pages)
    _add_stream(app, access, pulse or Pulse(site), streams or Streams())
    _add_errors(app, pages)
    return Guard(app, access)


def _add_pages(app: FastAPI, site: CoordinatorSite, pages: Pages) -> None:
    runs = RunReader(site)
    federation, one_run, audit = FederationReader(site), OneRunReader(site, runs), AuditReader(site)

    @app.get(ROOT, response_model=None)
    def show_federation(request: Request) -> Response:
        return pages.answer(request, "federation.html", federation.page())

    @app.get(f"{ROOT}/runs", response_model=None)
    def show_runs(request: Request, page: Page = 1) -> Response:
        return pages.answer(request, "runs.html", runs.page(page))

    @app.get(f"{ROOT}/runs/{{link}}", response_model=None)
    def show_run(request: Request, link: str, page: Page = 1) -> Response:
        return pages.answer(request, "run.html", one_run.page(link, page))

    @app.get(f"{ROOT}/audit", response_model=None)
    def show_audit(request: Request, page: Page = 1) -> Response:
        return pages.answer(request, "audit.html", audit.page(page))

    @app.get(f"{ROOT}/assets/{{name}}", response_model=None)
    def asset(name: str) -> Response:
        if name not in _KINDS:
            raise HTTPException(404)
        return FileResponse(ASSETS / name, media_type=_KINDS[name])


def _add_sign_in(app: FastAPI, access: Access, pages: Pages) -> None:
    tries = Throttle(MOST_TRIES, TRIES_S)

    @app.get(LOGIN, response_model=None)
    def login_page(request: Request) -> Response:
        return pages.html(request, "login.html", title="Sign in", refused="")

    @app.post(LOGIN, response_model=None)
    async def sign_in(request: Request) -> Response:
        code = (await _form(request)).get("code", "")
        if not same_origin(request.headers):
            return forbidden()
        named = access.names_open_code(code)
        if not named and not tries.admits():
            raise HTTPException(429)
        token = await asyncio.to_thread(access.sign_in, code)
        # Guesses that name no open code are not logged: strangers must not be able to fill the log's disk.
        if named:
            _LOG.info("somebody %s", "has signed in" if token is not None else "has named an open code with a wrong secret")
        if token is None:
            refused = "This code does not hold: it is unknown, used or expired. Ask for a new one with 'fedstill coordinator console'."
            return pages.html(request, "login.html", 403, title="Sign in", refused=refused)
        answer = RedirectResponse(ROOT, 303)
        answer.set_cookie(COOKIE, token, max_age=int(SESSION_S), path="/", secure=True, httponly=True, samesite="strict")
        return answer

    @app.post(LOGOUT, response_model=None)
    async def sign_out(request: Request) -> Response:
        token = str(request.scope["state"]["token"])
        given = (await _form(request)).get("form", "")
        if not same_origin(request.headers) or not hmac.compare_digest(given.encode(), form_token(token).encode()):
            return forbidden()
        await asyncio.to_thread(access.sign_out, token)
        answer = RedirectResponse(LOGIN, 303)
        answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
        return answer


def _add_stream(app: FastAPI, access: Access, pulse: Pulse, streams: Streams) -> None:
    @app.get(STREAM, response_model=None)
    async def stream(request: Request) -> Response:
        token = str(request.scope["state"]["token"])
        return BoundedStream(beats(pulse, lambda: access.holds(token)), STREAM_S + FORM_S, streams.place(token))


async def _form(request: Request) -> dict[str, str]:
    """The fields of a small form, each once; raises :class:`HTTPException` for another body, a large one, and one that does not come."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise HTTPException(415)
    body = b""
    try:
        async with asyncio.timeout(FORM_S):
            async for piece in request.stream():
                body += piece
                if len(body) > LARGEST_FORM:
                    raise HTTPException(413)
        fields = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=4)
    except (TimeoutError, ClientDisconnect):
        raise HTTPException(408) from None
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items() if len(values) == 1}


def _add_errors(app: FastAPI, pages: Pages) -> None:
    async def tell(request: Request, error: Any) -> Response:
        # Sentences name places on this machine's disk, which are nobody's business before one has signed in.
        if not request.scope["state"]["token"]:
            return pages.error(request, 503, "This cannot be done now: the coordinator's operator can see why.")
        return pages.error(request, 404 if isinstance(error, MissingFileError) else 503, str(error))

    async def tell_http(request: Request, error: Any) -> Response:
        code = error.status_code if isinstance(error, HTTPException) else 404
        return pages.error(request, code, SENTENCES.get(code, "This request is not understood."))

    app.add_exception_handler(FedstillError, tell)
    app.add_exception_handler(HTTPException, tell_http)
    app.add_exception_handler(RequestValidationError, tell_http)
