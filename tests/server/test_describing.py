from __future__ import annotations

import pytest

from server.describing import describe
from server.events import Event, InstitutionRefused
from tests.support.told import SAID


@pytest.mark.parametrize(("event", "line"), SAID)
def test_each_event_has_its_line(event: Event, line: str) -> None:
    assert describe(event) == line


def test_what_an_institution_said_is_one_line() -> None:
    event = InstitutionRefused(number=1, institution="ash", stage="train", code="PolicyRefusal", reason="no\n\x1b[2J more")
    assert describe(event) == "ash did not answer train of round 1: no\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}[2J more"
