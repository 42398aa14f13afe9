"""An institution sees what is about all, and of the others nothing that is theirs."""

from __future__ import annotations

import pytest

from server.events import (
    ArtifactWritten,
    EpochOpened,
    Event,
    InstitutionAbsent,
    InstitutionAnswered,
    InstitutionRefused,
    RoundClosed,
    RunFinished,
)
from server.views import seen_by

OWN: list[Event] = [
    InstitutionAnswered(number=1, institution="va", stage="train", bytes_up=10, seconds=1.0),
    InstitutionAbsent(number=1, institution="va", stage="train", reason="it was late"),
    InstitutionRefused(number=1, institution="va", stage="train", code="PolicyRefusal", reason="no"),
]


@pytest.mark.parametrize("event", OWN)
def test_what_one_did_is_seen_by_itself_alone(event: Event) -> None:
    assert seen_by(event, "va") == event
    assert seen_by(event, "cl") is None


def test_sentences_of_others_are_left_out() -> None:
    event = EpochOpened(epoch=1, members=("va",), refused={"cl": "our records are at fault", "su": "no"})
    seen = seen_by(event, "cl")
    assert isinstance(seen, EpochOpened)
    assert seen.refused == {"cl": "our records are at fault", "su": ""}


def test_places_on_the_coordinator_s_disk_are_left_out() -> None:
    assert seen_by(ArtifactWritten(path="/srv/fl/artifact"), "va") == ArtifactWritten(path="")
    assert seen_by(RunFinished(run="trial-1", artifact="/srv/fl/artifact"), "va") == RunFinished(run="trial-1", artifact="")


def test_sums_are_for_all() -> None:
    event = RoundClosed(number=1, phase="train", survivors=("va", "cl"), metrics={"eval_accuracy": 0.5})
    assert seen_by(event, "va") == event
