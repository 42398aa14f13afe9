"""What operators read while a deployed run goes on: no line about what needs none."""

from __future__ import annotations

import io
import json
import logging

import pytest
from rich.console import Console

from fedstill.following import follower, operator
from shared.logs import JSON_VARIABLE
from tests.support.told import SAID


def test_lines_reach_the_console() -> None:
    seen = io.StringIO()
    listen = follower(Console(file=seen, width=100))
    for event, _ in SAID:
        listen(event)
    assert seen.getvalue().splitlines() == "\n".join(line for _, line in SAID if line).splitlines()


def test_as_json_each_event_is_an_object_with_its_fields(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(JSON_VARIABLE, "0")
    say, listen = operator(log_json=True)
    try:
        say("listening")
        for event, _ in SAID:
            listen(event)
    finally:
        logging.getLogger("fedstill").handlers.clear()
    first, *rest = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert first["message"] == "listening"
    assert [line["message"] for line in rest] == [event.kind for event, _ in SAID]
    assert rest[3]["fields"] == {"phase": "train"}
