"""Logs of fedstill's own processes: lines for people, or with ``--log-json`` one JSON object a line for programs.

What is logged are names, sizes, times and sentences. An error that nobody foresaw may quote a record in its text: its kind and where it
arose are logged, its text is not, in neither form.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from types import TracebackType
from typing import Any, TextIO, TypeAlias

from shared.audit.chain import stamp

JSON_VARIABLE = "FEDSTILL_LOG_JSON"
"""Set to ``1`` in the environment of a service's processes where it was asked for JSON."""
PLAIN = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_FRAMES = 20
_CHAIN = 5

_Failure: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class JsonFormatter(logging.Formatter):
    """``time`` (UTC), ``level``, ``logger``, ``message``, ``fields`` where the record has any, ``error`` and ``where`` after an error."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of ASCII."""
        table: dict[str, Any] = {"time": stamp(record.created), "level": record.levelname.lower(), "logger": record.name}
        table["message"] = record.getMessage()
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            table["fields"] = fields
        if record.exc_info and record.exc_info[0] is not None:
            table["error"] = record.exc_info[0].__name__
            table["where"] = _frames(record.exc_info[2])
        return json.dumps(table, default=str)


class PlainFormatter(logging.Formatter):
    """:data:`PLAIN`, and after an error its kind and frames without its text."""

    def __init__(self) -> None:
        super().__init__(PLAIN)

    def formatException(self, ei: _Failure) -> str:  # noqa: N802
        """See :func:`kind_and_place`."""
        return "" if ei[1] is None else kind_and_place(ei[1])


def kind_and_place(error: BaseException) -> str:
    """An error without its text: its kind and frames, the innermost last, and those of the errors that led to it."""
    told: list[str] = []
    current: BaseException | None = error
    while current is not None and len(told) < _CHAIN:
        told.append(f"{type(current).__name__} at {', '.join(_frames(current.__traceback__)) or 'no known place'}")
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "; after ".join(told)


def wants_json() -> bool:
    """Whether this process's service was started with ``--log-json``."""
    return os.environ.get(JSON_VARIABLE) == "1"


def use_json(wanted: bool) -> None:
    """Lets this process and those that it starts log JSON, or not."""
    if wanted:
        os.environ[JSON_VARIABLE] = "1"
    else:
        os.environ.pop(JSON_VARIABLE, None)


def set_up(logger: logging.Logger, stream: TextIO | None = None) -> None:
    """Sends a logger's lines of level INFO and above to ``stream`` (stderr), in the form that was asked for; safe to call again."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if wants_json() else PlainFormatter())
    for old in [held for held in logger.handlers if held.get_name() == __name__]:
        logger.removeHandler(old)
    handler.set_name(__name__)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def _frames(place: TracebackType | None) -> list[str]:
    codes = [(frame.f_code, line) for frame, line in traceback.walk_tb(place)]
    return [f"{code.co_filename}:{line} in {code.co_name}" for code, line in codes[-_FRAMES:]]
