"""What the gateway hands on to the console is the console's, letter for letter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.console.paths import is_console_call

OURS = [
    ("GET", "/console", ""),
    ("GET", "/console/login", ""),
    ("POST", "/console/login", ""),
    ("POST", "/console/logout", ""),
    ("GET", "/console/runs", "page=2"),
    ("GET", "/console/runs/heart-1", "format=json&page=12"),
    ("GET", "/console/audit", "format=json"),
    ("GET", "/console/stream", ""),
    ("GET", "/console/assets/console.css", ""),
]
OTHERS = [
    ("GET", "/consoles", ""),
    ("GET", "/console/", ""),
    ("GET", "//console", ""),
    ("GET", "/console//runs", ""),
    ("GET", "/Console", ""),
    ("GET", "/console/..", ""),
    ("GET", "/console/../v1/control/start-run", ""),
    ("GET", "/console/%2e%2e/v1/control/start-run", ""),
    ("GET", "/console/..;/v1/control", ""),
    ("GET", "/console/.", ""),
    ("GET", "/console/runs/%00", ""),
    ("GET", "/console/runs/a\\b", ""),
    ("GET", "/console/runs/a b", ""),
    ("GET", "/console/a/b/c/d", ""),
    ("GET", f"/console/{'a' * 81}", ""),
    ("GET", "/console\n", ""),
    ("GET", "https://127.0.0.1/console", ""),
    ("GET", "/v1/control/start-run", ""),
    ("GET", "/console", "page=%2e"),
    ("GET", "/console", "next=/v1/control"),
    ("GET", "/console", "a=1&b=2&c=3&d=4&e=5"),
    ("GET", "/console", "page=1\n"),
    ("HEAD", "/console", ""),
    ("PUT", "/console/login", ""),
    ("DELETE", "/console", ""),
    ("OPTIONS", "/console", ""),
    ("POST", "/console", ""),
    ("POST", "/console/runs/heart-1", ""),
    ("POST", "/console/login", "a=b"),
    ("POST", "/console/stream", ""),
]


@pytest.mark.parametrize(("method", "path", "query"), OURS)
def test_the_console_s_calls_are_known(method: str, path: str, query: str) -> None:
    assert is_console_call(method, path.encode(), query.encode())


@pytest.mark.parametrize(("method", "path", "query"), OTHERS)
def test_everything_else_is_not_the_console_s(method: str, path: str, query: str) -> None:
    assert not is_console_call(method, path.encode(), query.encode())


def test_a_server_that_names_no_raw_path_is_not_trusted() -> None:
    assert not is_console_call("GET", None, b"")


@given(st.binary(max_size=30), st.binary(max_size=20))
def test_nothing_that_a_parser_could_read_otherwise_gets_through(rest: bytes, query: bytes) -> None:
    if is_console_call("GET", b"/console" + rest, query):
        whole = rest + b"?" + query
        assert all(32 < letter < 127 for letter in whole)
        assert b".." not in whole
        assert not set(b"%\\;#:@") & set(whole)
        assert b"//" not in rest
