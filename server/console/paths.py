"""Which addresses the console has, letter for letter: the gateway hands on these and nothing else, and both sides read them here."""

from __future__ import annotations

import re

ROOT = "/console"
LOGIN, LOGOUT, STREAM = f"{ROOT}/login", f"{ROOT}/logout", f"{ROOT}/stream"
LARGEST_FORM = 2048
"""Bytes of the largest form: a code, or what says that a sign-out was meant."""
_PATH = re.compile(rb"/console(/[A-Za-z0-9_-]{1,80}){0,3}(\.css|\.js)?")
_QUERY = re.compile(rb"([a-z]{1,16}=[A-Za-z0-9_-]{0,80}(&[a-z]{1,16}=[A-Za-z0-9_-]{0,80}){0,3})?")
_POSTED = frozenset({LOGIN.encode(), LOGOUT.encode()})


def is_console_call(method: str, raw_path: bytes | None, query: bytes) -> bool:
    """Whether a request line names something of the console, and nothing that some parser could read as another path."""
    if raw_path is None or _PATH.fullmatch(raw_path) is None or _QUERY.fullmatch(query) is None:
        return False
    return method == "GET" or (method == "POST" and raw_path in _POSTED and not query)
