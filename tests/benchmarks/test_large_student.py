"""Sizes are what they say, and each round's seconds are those since the one before."""

from __future__ import annotations

import pytest

from benchmarks.large_student import SHAPES, Measured, claims, federation, seconds_of
from server.events import ArtifactWritten, Event, RoundClosed, RoundStarted, RunFinished, RunStarted
from shared.models.build import parameters_of
from shared.task import numeric_inputs
from shared.work import Normalisation


@pytest.mark.parametrize("millions", sorted(SHAPES))
def test_a_student_has_as_many_parameters_as_it_says(millions: int) -> None:
    config = federation(millions, rounds=1)
    inputs = numeric_inputs(config.task)
    made = parameters_of(config.student, config.task, Normalisation(means=(0.0,) * inputs, deviations=(1.0,) * inputs))
    assert made == pytest.approx(1e6 * millions, rel=0.02)


def test_seconds_run_from_the_end_of_the_round_before() -> None:
    events: list[tuple[float, Event]] = [
        (10.0, RunStarted(run="large", roster=("a",), rounds=1, resumed=False)),
        (11.0, RoundStarted(number=1, phase="statistics-moments", cohort=("a",))),
        (12.0, RoundClosed(number=1, phase="statistics-moments", survivors=("a",))),
        (19.0, RoundStarted(number=2, phase="train", cohort=("a",))),
        (22.0, RoundClosed(number=2, phase="train", survivors=("a",))),
        (25.0, ArtifactWritten(path="p")),
        (26.0, RunFinished(run="large", artifact="p")),
    ]
    assert seconds_of(events) == {"1.statistics-moments": 2.0, "2.train": 10.0, "publish": 3.0, "all": 16.0}


def test_what_hardly_travelled_is_left_out() -> None:
    found = Measured({"all": 3.0}, {"worker": 500.0}, {"2.train.up": 100.0, "1.gate.up": 0.2})
    assert [one.name for one in claims(100, "made-up", found)] == [
        "100M.made-up.all",
        "100M.made-up.memory.worker",
        "100M.made-up.bytes.2.train.up",
    ]
