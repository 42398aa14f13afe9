"""Trials: whose records are whose, what a student is graded on, and which figures it gets."""

from __future__ import annotations

import pytest

from benchmarks.kappa import quadratic_weighted_kappa
from benchmarks.photographs import synthetic
from benchmarks.trials import builtin, retinas, trials
from shared.models import build, predict
from shared.work import Normalisation

IMAGES = Normalisation(means=(100.0,) * 3, deviations=(50.0,) * 3)


@pytest.mark.parametrize(("name", "sites"), [("heart", 4), ("digits", 5)])
def test_built_in_records_are_graded_on_what_every_site_holds_out(name: str, sites: int) -> None:
    trial = builtin(name, 3)
    assert len(trial.sites) == sites
    assert len(trial.graded) == sum(len(split.test) for split in trial.sites.values())
    assert (trial.config.seed, trial.config.name, trial.ordinal) == (3, name, False)


def test_retinas_are_graded_on_the_test_photographs_which_no_hospital_has() -> None:
    photographs = synthetic()
    trial = retinas(photographs, 1)
    assert trial.graded is photographs.test
    assert sum(len(split.train) for split in trial.sites.values()) == len(photographs.train)
    assert sum(len(split.test) for split in trial.sites.values()) == len(photographs.validation)


def test_only_grades_have_a_kappa() -> None:
    trial = retinas(synthetic(), 1).shortened()
    student = build(trial.config.student, trial.config.task, IMAGES, seed=1)
    figures = trial.grade(student)
    predicted = predict(student, trial.graded.inputs)
    assert set(figures) == {"accuracy", "loss", "kappa"}
    assert figures["accuracy"] == pytest.approx(float((predicted == trial.graded.labels).mean()))
    assert figures["kappa"] == quadratic_weighted_kappa(trial.graded.labels, predicted, 5)


def test_a_shortened_trial_keeps_its_records_and_its_encoding() -> None:
    trial = builtin("heart", 0)
    short = trial.shortened()
    assert (short.config.rounds, short.config.training.epochs, short.config.teacher_training.epochs) == (2, 1, 1)
    assert short.config.aggregation == trial.config.aggregation
    assert short.sites is trial.sites


def test_a_quick_trial_needs_no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEDSTILL_BENCH_DATA", raising=False)
    assert trials("retinamnist", quick=True)(0).config.rounds == 2
    with pytest.raises(SystemExit):
        trials("retinamnist")
