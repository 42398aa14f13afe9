"""Events survive the way into the store and back."""

from __future__ import annotations

import pytest

from server.events import ArtifactWritten, EpochOpened, Event, InstitutionRefused, RoundClosed, RoundStarted, parse_event

EVENTS: list[Event] = [
    EpochOpened(epoch=2, members=("ash", "elm"), absent=("fir",), refused={"oak": "no"}),
    RoundStarted(number=3, phase="train", cohort=("ash",), training_round=1, attempt=1),
    InstitutionRefused(number=3, institution="ash", stage="train", code="PolicyRefusal", reason="it does not agree"),
    RoundClosed(number=3, phase="train", survivors=("ash",), metrics={"accuracy": 0.5}, seconds={"train": 1.25}),
    ArtifactWritten(path="artifact"),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_an_event_is_read_back_as_it_was(event: Event) -> None:
    assert parse_event(event.model_dump_json()) == event
