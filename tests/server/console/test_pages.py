from __future__ import annotations

import pytest
from starlette.requests import Request

from server.console.federation import FederationPage
from server.console.pages import Pages, moment, size, wants_json

HOSTILE = "<script>alert(1)</script>\" onload='x' {{ 7 * 7 }} \ud800"


def request(query: str = "", accept: str = "text/html") -> Request:
    return Request(
        {
            "type": "http",
            "path": "/console",
            "query_string": query.encode(),
            "headers": [(b"accept", accept.encode()), (b"host", b"fl.example.org")],
            "state": {"token": "t"},
            "server": ("fl.example.org", 443),
            "scheme": "https",
        }
    )


@pytest.mark.parametrize(
    ("query", "accept", "json"),
    [
        ("", "text/html,application/xhtml+xml", False),
        ("", "*/*", False),
        ("", "application/json", True),
        ("", "text/html, application/json", False),
        ("format=json", "text/html", True),
        ("format=xml", "", False),
    ],
)
def test_who_wants_json(query: str, accept: str, json: bool) -> None:
    assert wants_json(request(query, accept)) is json


def test_everything_in_a_page_is_escaped() -> None:
    page = FederationPage(
        name=HOSTILE,
        version=HOSTILE,
        addresses=(HOSTILE,),
        state=HOSTILE,
        run=HOSTILE,
        members=(),
        left=(HOSTILE,),
        invited=(),
        roster_fingerprint=HOSTILE,
        coordinator_key=HOSTILE,
        ca_fingerprint=HOSTILE,
        ca_until=0.0,
        server_until=1e300,
    )
    text = bytes(Pages().answer(request(), "federation.html", page).body).decode()
    assert "<script>alert" not in text
    assert "onload='x'" not in text
    assert "{{ 7 * 7 }}" in text
    assert text.count("&lt;script&gt;alert(1)") == 9


def test_a_sentence_in_place_of_a_page() -> None:
    shown = Pages().error(request(), 503, HOSTILE)
    assert shown.status_code == 503
    assert b"<script>alert" not in bytes(shown.body)
    assert bytes(Pages().error(request("format=json"), 404, "none").body) == b'{"error":"none"}'


def test_times_and_sizes_for_people() -> None:
    assert moment(0.0) == "1970-01-01 00:00 UTC"
    assert [moment(value) for value in (None, 1e300, float("nan"), -1e18)] == ["–"] * 4
    assert [size(value) for value in (0, 999, 1000, 1_500_000)] == ["0 B", "999 B", "1.0 KB", "1.5 MB"]
