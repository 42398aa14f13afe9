"""Every kind of work survives its encoding, and its counters have the lengths that both sides expect."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from shared.entity_table import entity_table
from shared.settings import DistillationSettings, ProxyTerms, TrainingSettings
from shared.task import ImageTask, NumericColumn, TabularTask
from shared.work import (
    EXPONENTS,
    HISTOGRAM_BINS,
    AnswerWork,
    CalibrateHistogramWork,
    CalibrateRangeWork,
    GateWork,
    GridWork,
    ImportanceWork,
    Normalisation,
    StatisticsMomentsWork,
    StatisticsRangeWork,
    TrainWork,
    Work,
    counter_fields,
    parse_work,
    trains,
)

TABLE = TabularTask(family="tabular", label="y", labels=("a", "b", "c"), columns=(NumericColumn(name="p"), NumericColumn(name="q")))
IMAGES = ImageTask(family="image", labels=("a", "b"), size=8, channels=3)
NORMALISATION = Normalisation(means=(0.0,), deviations=(1.0,))
WORKS: list[tuple[Work, int]] = [
    (StatisticsRangeWork(), 2 * EXPONENTS),
    (StatisticsMomentsWork(exponents=(3, 4)), 6),
    (
        TrainWork(version=3, seed=1, normalisation=NORMALISATION, training=TrainingSettings(), distillation=DistillationSettings()),
        1 + 1 + 9 + 3,
    ),
    (
        TrainWork(
            version=3,
            seed=1,
            normalisation=NORMALISATION,
            training=TrainingSettings(),
            distillation=DistillationSettings(),
            quantised=GridWork(grid="u8s8-7bit", ranges={"x": (-0.1, 2.5), "y": (0.0, 1 / 3)}),
        ),
        1 + 1 + 9 + 3,
    ),
    (
        AnswerWork(
            version=0,
            seed=1,
            normalisation=NORMALISATION,
            training=TrainingSettings(),
            distillation=DistillationSettings(),
            proxy=ProxyTerms(),
            records=5,
            proxy_sha256="0" * 64,
        ),
        1 + 1 + 9 + 3,
    ),
    (ImportanceWork(normalisation=NORMALISATION, blocks=2, heads=6, inner=40), 1 + 1 + 9 + 2 + 1 + 6 + 40),
    (CalibrateRangeWork(normalisation=NORMALISATION, tensors=("x", "y")), 1 + 1 + 9 + 4 * EXPONENTS),
    (
        CalibrateHistogramWork(normalisation=NORMALISATION, tensors=("x", "y"), lows=(0.0, -1.0), highs=(1.0, 1.0)),
        2 * HISTOGRAM_BINS,
    ),
    (GateWork(candidates=("u8u8", "u8s8-7bit")), 2 + 4),
]


@pytest.mark.parametrize(("work", "counters"), WORKS, ids=lambda value: getattr(value, "kind", None))
def test_a_work_survives_its_encoding_and_knows_its_counters(work: Work, counters: int) -> None:
    assert parse_work(work.canonical()) == work
    assert sum(field.length for field in counter_fields(work, TABLE)) == counters
    assert trains(work) == (work.kind in ("train", "answer"))


@pytest.mark.parametrize("ends", [(0.1, 1.0), (-1.0, -0.1), (float("-inf"), 1.0), (-1.0, float("nan"))])
def test_a_range_of_a_grid_is_finite_and_has_zero_in_it(ends: tuple[float, float]) -> None:
    with pytest.raises(ValidationError):
        GridWork(grid="u8s8-7bit", ranges={"x": ends})


def test_images_have_one_statistic_a_channel() -> None:
    assert sum(field.length for field in counter_fields(StatisticsMomentsWork(exponents=(8, 8, 8)), IMAGES)) == 9


def test_a_student_of_another_shape_has_an_age_and_no_future() -> None:
    common = {"seed": 1, "normalisation": NORMALISATION, "training": TrainingSettings(), "distillation": DistillationSettings()}
    assert TrainWork(version=7, begun=7, **common).begun == 7
    with pytest.raises(ValidationError, match="yet to come"):
        TrainWork(version=4, begun=5, **common)


def test_tables_that_are_large_together_do_not_come_in() -> None:
    one = entity_table("joint", np.ones((1000, 40)))
    Normalisation(tables=(one,))
    with pytest.raises(ValidationError, match="may travel"):
        Normalisation(tables=(one, one))
