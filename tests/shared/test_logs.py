from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from shared.logs import JSON_VARIABLE, kind_and_place, set_up, use_json, wants_json

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


def failing(record: str) -> None:
    try:
        raise KeyError(record)
    except KeyError as error:
        raise ValueError(f"not a number: {record}") from error


@pytest.mark.parametrize("json_wanted", [False, True])
def test_no_form_has_an_error_s_text(json_wanted: bool) -> None:
    stream = io.StringIO()
    use_json(json_wanted)
    set_up(LOG, stream)
    try:
        failing("Mr Canary")
    except ValueError:
        LOG.exception("it failed")
    assert "it failed" in stream.getvalue()
    assert "ValueError" in stream.getvalue()
    assert "in failing" in stream.getvalue()
    assert "Canary" not in stream.getvalue()


def test_kind_and_place_of_an_error_and_of_what_led_to_it() -> None:
    with pytest.raises(ValueError, match="Canary") as caught:
        failing("Mr Canary")
    said = kind_and_place(caught.value)
    first, after = said.split("; after ")
    assert first.startswith("ValueError at ")
    assert first.endswith(" in failing")
    assert after.startswith("KeyError at ")
    assert "Canary" not in said
    assert kind_and_place(KeyError("Mr Canary")) == "KeyError at no known place"


def test_a_chain_without_end_and_deep_frames_are_cut() -> None:
    def deep(left: int) -> None:
        if left == 0:
            raise ValueError
        deep(left - 1)

    with pytest.raises(ValueError, match=r"^$") as caught:
        deep(200)
    caught.value.__cause__ = caught.value
    said = kind_and_place(caught.value)
    assert said.count("ValueError") == 5
    assert said.count(" in deep") == 5 * 20
