"""Logs of fedstill's own processes: lines for people, or with ``--log-json`` one JSON object a line for programs.

What is logged are names, sizes, times and sentences. An error that nobody foresaw may quote a record in its text; in JSON its kind and
where it arose are kept, its text is not.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from typing import Any, TextIO

from shared.audit.chain import stamp

JSON_VARIABLE = "FEDSTILL_LOG_JSON"
"""Set to ``1`` in the environment of a service's processes where it was asked for JSON."""
PLAIN = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_FRAMES = 20


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
            frames = traceback.extract_tb(record.exc_info[2])[-_FRAMES:]
            table["error"] = record.exc_info[0].__name__
            table["where"] = [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
        return json.dumps(table, default=str)


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
    handler.setFormatter(JsonFormatter() if wants_json() else logging.Formatter(PLAIN))
    for old in [held for held in logger.handlers if held.get_name() == __name__]:
        logger.removeHandler(old)
    handler.set_name(__name__)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
