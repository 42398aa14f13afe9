"""What an operator sees of a run follows from its events alone (``tests/fedstill/test_watching.py`` draws it)."""

from __future__ import annotations

from server.events import InstitutionAbsent, InstitutionAnswered, RoundClosed, RoundStarted, RoundVoid, RunFinished, RunStarted
from server.picture import LINES, Picture


def test_a_run_from_its_first_event_to_its_last() -> None:
    picture = Picture()
    picture.see(RunStarted(run="trial", roster=("ash", "elm"), rounds=3, resumed=False))
    picture.see(RoundStarted(number=4, phase="train", cohort=("ash", "elm"), training_round=2))
    picture.see(InstitutionAnswered(number=4, institution="ash", stage="train", bytes_up=10, seconds=0.5))
    picture.see(InstitutionAbsent(number=4, institution="elm", stage="train", reason="gone"))
    assert (picture.state, picture.phase, picture.training_round, picture.rounds) == ("running", "train", 2, 3)
    assert (picture.members["ash"].doing, picture.members["ash"].bytes_up) == ("answered train in 0.5 s", 10)
    assert (picture.members["elm"].doing, picture.members["elm"].missed) == ("absent: gone", 1)
    picture.see(RoundVoid(number=4, phase="train", reason="too few"))
    picture.see(RoundClosed(number=5, phase="train", survivors=("ash",), metrics={"accuracy": 0.5}))
    picture.see(RoundClosed(number=6, phase="train", survivors=("ash",), metrics={"loss": 0.1}))
    picture.see(RunFinished(run="trial", artifact="artifact"))
    assert (picture.closed, picture.void, picture.finished) == (2, 1, True)
    assert picture.figures == {"accuracy": 0.5, "loss": 0.1}


def test_only_the_newest_lines_stay() -> None:
    picture = Picture()
    for number in range(3 * LINES):
        picture.see(RoundVoid(number=number, phase="train", reason="too few"))
    assert len(picture.lines) == LINES
    assert picture.lines[-1].startswith(f"round {3 * LINES - 1} ")
