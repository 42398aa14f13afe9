"""From a frozen value to an answer: a page of HTML, in which everything is escaped, or the value itself as JSON."""

from __future__ import annotations

from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from server.console.access import form_token
from server.console.drawing import draw
from shared.frozen import Frozen

HTML = "text/html; charset=utf-8"


def wants_json(request: Request) -> bool:
    """Whether the caller is a program: it says ``?format=json``, or accepts JSON and no HTML."""
    accepted = request.headers.get("accept", "")
    return request.query_params.get("format") == "json" or ("application/json" in accepted and "text/html" not in accepted)


class Pages:
    """The templates of ``server/console/templates/``."""

    def __init__(self) -> None:
        loader = PackageLoader("server.console", "templates")
        self._environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        self._environment.filters.update(moment=moment, size=size)
        self._environment.globals.update(draw=draw)

    def answer(self, request: Request, template: str, page: Frozen) -> Response:
        """``page`` in the form that was asked for."""
        if wants_json(request):
            return JSONResponse(page.model_dump(mode="json"))
        return self.html(request, template, page=page)

    def error(self, request: Request, status: int, sentence: str) -> Response:
        """A sentence in place of what cannot be shown."""
        if wants_json(request):
            return JSONResponse({"error": sentence}, status)
        return self.html(request, "error.html", status, title="Not to be shown", sentence=sentence)

    def html(self, request: Request, template: str, status: int = 200, **values: object) -> Response:
        """A page of HTML."""
        token = request.scope["state"]["token"]
        known = {"path": request.url.path, "signed_in": bool(token), "form_token": form_token(token) if token else ""}
        text = self._environment.get_template(template).render(**known, **values)
        # Half of a surrogate pair, which a peer may have said, cannot be written in UTF-8.
        return Response(text.encode(errors="replace"), status, media_type=HTML)


def moment(seconds: float | None) -> str:
    """A time for people: UTC, to the minute; a dash for none."""
    if seconds is None:
        return "–"
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return "–"


def size(count: float) -> str:
    """Bytes for people: in B, KB or MB of a thousand each."""
    for unit, factor in (("MB", 1e6), ("KB", 1e3)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count:,.0f} B"
