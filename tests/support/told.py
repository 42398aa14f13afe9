"""Events, and the line that operators read about each."""

from __future__ import annotations

from server.events import EpochOpened, Event, InstitutionAbsent, InstitutionAnswered, PhaseStarted, RoundClosed, RoundVoid, RunStarted

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
