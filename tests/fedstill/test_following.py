"""What operators read while a deployed run goes on: no line about what needs none."""

from __future__ import annotations

import io
import json
import logging

import pytest
from rich.console import Console

from fedstill.following import describe, follower, operator
from server.events import EpochOpened, Event, InstitutionAbsent, InstitutionAnswered, PhaseStarted, RoundClosed, RoundVoid, RunStarted
from shared.logs import JSON_VARIABLE

SAID: list[tuple[Event, str]] = [
    (RunStarted(run="heart-1", roster=("cl", "va"), rounds=2, resumed=False), "run heart-1 begins: 2 institutions, 2 rounds"),
    (RunStarted(run="heart-1", roster=("cl", "va"), rounds=2, resumed=True), "run heart-1 goes on: 2 institutions, 2 rounds"),
    (EpochOpened(epoch=1, members=("cl",), refused={"va": "too few"}), "epoch 1: cl\n  va refused: too few"),
    (PhaseStarted(phase="train"), "phase train"),
    (
        RoundClosed(number=3, phase="train", survivors=("cl", "va"), metrics={"accuracy": 0.5}, seconds={"train": 1.0, "unmask": 0.5}),
        "round 3 (train) closed with 2 in 1.5 s accuracy 0.5",
    ),
    (RoundVoid(number=3, phase="train", reason="too few"), "round 3 (train) is void: too few"),
    (InstitutionAbsent(number=3, institution="va", stage="train", reason="gone"), "va did not answer train of round 3: gone"),
    (InstitutionAnswered(number=3, institution="va", stage="train", bytes_up=9, seconds=0.1), ""),
]


@pytest.mark.parametrize(("event", "line"), SAID)
def test_each_event_has_its_line(event: Event, line: str) -> None:
    assert describe(event) == line


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
