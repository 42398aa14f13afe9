from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from shared.data.records import Records
from shared.data.statistics import choose_exponents, exponent_counts, moment_counts, normalisation
from shared.errors import DataError
from shared.task import CategoricalColumn, ImageTask, NumericColumn, TabularTask
from shared.work import EXPONENTS, Normalisation, StatisticsMomentsWork, StatisticsRangeWork, counter_fields

TABLE = TabularTask(
    family="tabular",
    label="y",
    labels=("no", "yes"),
    columns=(NumericColumn(name="a"), CategoricalColumn(kind="categorical", name="c", categories=("x", "z")), NumericColumn(name="b")),
)
IMAGES = ImageTask(family="image", labels=("no", "yes"), size=4, channels=3)


def rows(values: NDArray[Any]) -> Records:
    return Records(values, np.zeros(len(values), dtype=np.int64))


def learnt(task: TabularTask | ImageTask, records: Records) -> Normalisation:
    exponents = choose_exponents(task, exponent_counts(task, records))
    return normalisation(task, moment_counts(task, records, exponents), exponents)


tables = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 40), st.just(3)),
    elements=st.one_of(st.just(np.nan), st.floats(-1e6, 1e6, width=32)),
)
images = hnp.arrays(np.uint8, st.tuples(st.integers(1, 12), st.just(4), st.just(4), st.just(3)))


@settings(max_examples=60, deadline=None)
@given(tables, st.integers(0, 40))
def test_counters_of_parts_add_up_to_those_of_the_whole_table(values: NDArray[np.float32], cut: int) -> None:
    whole, parts = rows(values), (rows(values[:cut]), rows(values[cut:]))
    ranges = exponent_counts(TABLE, whole)
    np.testing.assert_array_equal(ranges, sum(exponent_counts(TABLE, part) for part in parts))
    exponents = choose_exponents(TABLE, ranges)
    moments = [moment_counts(TABLE, part, exponents) for part in parts]
    for name, figures in moment_counts(TABLE, whole, exponents).items():
        np.testing.assert_array_equal(figures, moments[0][name] + moments[1][name])


@settings(max_examples=30, deadline=None)
@given(images, st.integers(0, 12))
def test_counters_of_parts_add_up_to_those_of_all_images(pixels: NDArray[np.uint8], cut: int) -> None:
    whole, first, second = (moment_counts(IMAGES, rows(part), (8, 8, 8)) for part in (pixels, pixels[:cut], pixels[cut:]))
    for name in whole:
        np.testing.assert_array_equal(whole[name], first[name] + second[name])


@settings(max_examples=100, deadline=None)
@given(tables)
def test_a_table_is_normalised_as_numpy_would(values: NDArray[np.float32]) -> None:
    found = learnt(TABLE, rows(values))
    for position, mean, deviation in zip(TABLE.numeric, found.means, found.deviations, strict=True):
        column = values[:, position].astype(np.float64)
        column = column[~np.isnan(column)]
        scale = float(np.abs(column).max()) if len(column) else 1.0
        assert mean == pytest.approx(column.mean() if len(column) else 0.0, abs=1e-8 * scale + 1e-9)
        # What is below 2^-31 counts as zero, as the range pass has it.
        if len(column) and column.std() > 2.0**-14 * max(scale, 2.0**-30):
            assert deviation == pytest.approx(column.std(), rel=0.05, abs=1e-6 * scale)
        assert deviation > 0


@settings(max_examples=40, deadline=None)
@given(images)
def test_images_are_normalised_in_raw_units_over_all_pixels(pixels: NDArray[np.uint8]) -> None:
    found = learnt(IMAGES, rows(pixels))
    channels = pixels.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(found.means, channels.mean(axis=0), atol=1e-6)
    spread = channels.std(axis=0)
    np.testing.assert_allclose(found.deviations, np.where(spread > 0, spread, 256.0), rtol=1e-4)


def test_a_spread_that_is_small_beside_its_mean_survives_the_fixed_point() -> None:
    years = np.random.default_rng(1).normal(2000.0, 1.0, (500, 3)).astype(np.float32)
    assert learnt(TABLE, rows(years)).deviations[0] == pytest.approx(years[:, 0].astype(np.float64).std(), rel=1e-3)


def test_a_column_without_values_and_a_constant_one_do_not_divide_by_nothing() -> None:
    values = np.array([[np.nan, 0, 5.0]] * 4, dtype=np.float32)
    assert learnt(TABLE, rows(values)) == Normalisation(means=(0.0, 5.0), deviations=(1.0, 8.0))


@pytest.mark.parametrize(
    ("value", "position"), [(0.0, 0), (1e-20, 0), (2.0**-31, 1), (0.5, 31), (1.0, 32), (-1.9, 32), (2.0, 33), (2.0**31, 63), (1e30, 63)]
)
def test_values_fall_into_their_power_of_two(value: float, position: int) -> None:
    counts = exponent_counts(TABLE, rows(np.array([[value, 0, np.nan]], dtype=np.float32))).reshape(2, EXPONENTS)
    assert np.flatnonzero(counts[0]).tolist() == [position]
    assert counts[1].sum() == 0


@given(st.floats(2.0**-30, 2.0**31, width=32))
def test_every_value_lies_below_the_chosen_power_of_two(value: float) -> None:
    exponent, _ = choose_exponents(TABLE, exponent_counts(TABLE, rows(np.array([[value, 0, 0]], dtype=np.float32))))
    assert 2.0 ** (exponent - 1) <= value < 2.0**exponent


def test_values_beyond_the_agreed_scale_are_clipped() -> None:
    counts = moment_counts(TABLE, rows(np.array([[100.0, 0, 0]], dtype=np.float32)), (2, 2))
    assert counts["sum"][0] == 2 * 2**32
    assert counts["square_sum"][0] == 2**32


@pytest.mark.parametrize("task", [TABLE, IMAGES])
def test_counters_are_as_long_as_the_round_declares(task: TabularTask | ImageTask) -> None:
    shape = (2, 3) if task.family == "tabular" else (2, 4, 4, 3)
    records = rows(np.zeros(shape, dtype=np.float32 if task.family == "tabular" else np.uint8))
    (ranges,) = counter_fields(StatisticsRangeWork(), task)
    counts = exponent_counts(task, records)
    assert counts.shape == (ranges.length,)
    exponents = choose_exponents(task, counts)
    moments = moment_counts(task, records, exponents)
    assert [(name, len(values)) for name, values in moments.items()] == list(
        counter_fields(StatisticsMomentsWork(exponents=exponents), task)
    )
    assert all((values >= 0).all() for values in moments.values())


def test_images_need_no_range_pass() -> None:
    assert choose_exponents(IMAGES, np.zeros(3 * EXPONENTS, dtype=np.int64)) == (8, 8, 8)


def test_sums_that_no_records_can_have_are_refused() -> None:
    records = rows(np.ones((3, 3), dtype=np.float32))
    sums = moment_counts(TABLE, records, (1, 1))
    with pytest.raises(DataError, match="counts wrongly"):
        normalisation(TABLE, {**sums, "sum": sums["sum"] * 3}, (1, 1))
    with pytest.raises(DataError, match="differ in task"):
        normalisation(TABLE, sums, (1,))
    with pytest.raises(DataError, match="differ in task"):
        moment_counts(TABLE, records, (1, 1, 1))
