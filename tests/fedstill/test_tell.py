"""A run's events as lines: what went wrong is said with its cause, what went well moves the bar."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fedstill.progress import progress_bar
from fedstill.tell import Teller
from server.events import (
    ArtifactWritten,
    EpochOpened,
    Event,
    InstitutionAbsent,
    InstitutionAnswered,
    InstitutionRefused,
    RoundClosed,
    RoundStarted,
    RoundVoid,
    RunStarted,
)


def told(*events: Event) -> str:
    text = io.StringIO()
    with progress_bar(Console(file=text, width=200), total=3) as bar:
        teller = Teller(bar)
        for event in events:
            teller(event)
    return text.getvalue()


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (RunStarted(run="r", roster=("a",), rounds=3, resumed=True), "going on with run r"),
        (EpochOpened(epoch=2, members=("a", "b"), refused={"c": "no time"}), "epoch 2: a, b; c refused: no time"),
        (InstitutionAbsent(number=4, institution="a", stage="train", reason="gone"), "round 4: a is absent (train): gone"),
        (InstitutionRefused(number=4, institution="a", stage="train", code="X", reason="too few"), "round 4: a refused (train): too few"),
        (RoundVoid(number=5, phase="train", reason="2 of 5 answered"), "round 5 is void: 2 of 5 answered; it is trained anew"),
        (RoundClosed(number=6, phase="train", survivors=("a",), blamed=("b",)), "round 6: b gave wrong shares or commitments"),
        (RoundClosed(number=6, phase="train", survivors=("a",), doubted=(("b", "c"),)), "round 6: b or c committed to a wrong seed"),
        (
            RoundClosed(number=7, phase="importance", survivors=("a",), metrics={"parameters": 2000.0, "parameters_kept": 500.0}),
            "pruned: 500 of 2,000 parameters are left",
        ),
        (RoundClosed(number=9, phase="gate", survivors=("a",), metrics={"pruning_undone": 1.0}), "the student before pruning is judged"),
        (ArtifactWritten(path="p"), "signed artifact: p"),
    ],
)
def test_what_a_person_would_want_to_read_afterwards_is_said(event: Event, line: str) -> None:
    assert line in told(event)


@pytest.mark.parametrize(
    "event",
    [
        RunStarted(run="r", roster=("a",), rounds=3, resumed=False),
        RoundStarted(number=1, phase="train", cohort=("a",), training_round=1),
        InstitutionAnswered(number=1, institution="a", stage="train", bytes_up=3, seconds=0.1),
        RoundClosed(number=1, phase="train", survivors=("a",)),
        RoundClosed(number=1, phase="importance", survivors=("a",), metrics={"parameters": 9.0, "parameters_kept": 9.0}),
    ],
)
def test_what_goes_well_is_not_a_line(event: Event) -> None:
    assert told(event) == ""
