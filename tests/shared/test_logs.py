from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from shared.logs import JSON_VARIABLE, set_up, use_json, wants_json

LOG = logging.getLogger("fedstill.tests.logs")


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(JSON_VARIABLE, "0")
    yield
    LOG.handlers.clear()
    LOG.setLevel(logging.NOTSET)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_has_fields_and_one_line() -> None:
    stream = io.StringIO()
    use_json(True)
    set_up(LOG, stream)
    LOG.info("closed\nround %d", 3, extra={"fields": {"round": 3}})
    LOG.debug("not said")
    (line,) = lines(stream)
    assert line.pop("time")
    assert line == {"level": "info", "logger": LOG.name, "message": "closed\nround 3", "fields": {"round": 3}}


def test_an_error_s_text_is_not_in_json_its_kind_and_place_are() -> None:
    stream = io.StringIO()
    use_json(True)
    set_up(LOG, stream)
    try:
        raise ValueError("the record of Mr Canary")
    except ValueError:
        LOG.exception("it failed")
    (line,) = lines(stream)
    assert line["error"] == "ValueError"
    assert "test_logs.py" in str(line["where"])
    assert "Canary" not in stream.getvalue()


def test_plain_unless_asked_and_once_although_set_up_twice() -> None:
    stream = io.StringIO()
    use_json(False)
    assert not wants_json()
    set_up(LOG, io.StringIO())
    set_up(LOG, stream)
    LOG.info("said")
    assert stream.getvalue().endswith(f"INFO {LOG.name}: said\n")
    assert len(LOG.handlers) == 1
