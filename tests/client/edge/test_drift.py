"""Running statistics: parts add up to the whole, and no look tells what one record held."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.edge.drift import BLOCK, Drift, Moments
from tests.support.edge import IMAGES, SEEN, TABLE, table_rows

MANIFEST = {"task": TABLE.model_dump(mode="json"), "inputs_seen": SEEN.model_dump(mode="json")}


@given(st.lists(st.integers(0, 40), max_size=8), st.integers(0, 99))
def test_moments_of_parts_are_those_of_the_whole(sizes: list[int], seed: int) -> None:
    parts = [table_rows(size, seed + index).astype(np.float64)[:, :2] for index, size in enumerate(sizes)]
    moments = Moments(2)
    for part in parts:
        moments.add(part)
    whole = np.concatenate([np.empty((0, 2)), *parts])
    there = [whole[~np.isnan(whole[:, column]), column] for column in range(2)]
    np.testing.assert_array_equal(moments.count, [len(values) for values in there])
    for column, values in enumerate(there):
        if len(values):
            assert moments.mean[column] == pytest.approx(values.mean(), rel=1e-9)
            assert moments.deviation[column] == pytest.approx(values.std(), rel=1e-6, abs=1e-9)


@given(st.lists(st.integers(0, 5), max_size=6), st.integers(1, 3), st.integers(0, 99))
def test_pixels_of_parts_have_the_moments_of_all_of_them(sizes: list[int], channels: int, seed: int) -> None:
    rng, moments = np.random.default_rng(seed), Moments(channels)
    parts = [rng.integers(0, 256, (size, 3, 2, channels), dtype=np.uint8) for size in sizes]
    for part in parts:
        moments.add_pixels(part)
    whole = np.concatenate([np.empty((0, channels)), *(part.reshape(-1, channels) for part in parts)])
    np.testing.assert_array_equal(moments.count, len(whole))
    if len(whole):
        np.testing.assert_allclose(moments.mean, whole.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(moments.deviation, whole.std(axis=0), rtol=1e-9, atol=1e-6)


def test_white_images_are_counted_without_overflow() -> None:
    moments = Moments(1)
    moments.add_pixels(np.full((3, 600, 600, 1), 255, np.uint8))
    assert (moments.mean[0], moments.deviation[0]) == (255.0, 0.0)


def test_requests_are_counted_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # One by one, a block of 256 rows kept the event loop, and all who wait for an answer, for ten milliseconds.
    counted: list[int] = []
    monkeypatch.setattr(Moments, "add", lambda self, values: counted.append(len(values)))
    drift = Drift(MANIFEST)
    for row in table_rows(2 * BLOCK, 4):
        drift.add(row[np.newaxis])
    assert counted == [BLOCK, BLOCK]


def test_a_table_s_figures_are_those_of_its_rows() -> None:
    drift, rows = Drift(MANIFEST), table_rows(BLOCK, 3)
    for start in range(0, BLOCK, 7):
        drift.add(rows[start : start + 7])
    age, dose, risk = drift.seen()
    there = rows[~np.isnan(rows[:, 0]), 0].astype(np.float64)
    assert (age.name, age.count) == ("age", len(there))
    assert age.missing_share == pytest.approx(np.isnan(rows[:, 0]).mean())
    assert age.mean == pytest.approx(there.mean())
    assert age.deviation == pytest.approx(there.std())
    assert age.mean_difference == pytest.approx((there.mean() - 50.0) / 10.0)
    assert dose.mean_difference is not None
    known = rows[~np.isnan(rows[:, 2]), 2]
    assert risk.category_shares == pytest.approx({name: (known == index).mean() for index, name in enumerate(("low", "middle", "high"))})
    assert risk.missing_share == pytest.approx(np.isnan(rows[:, 2]).mean())


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_what_is_shown_grows_by_whole_blocks(sizes: list[int]) -> None:
    drift, shown = Drift(MANIFEST, block=100), [0]
    for size in sizes:
        drift.add(np.ones((size, 3), np.float32))
        count = drift.seen()[0].count
        if count != shown[-1]:
            shown.append(count)
    assert all(after - before >= 100 for before, after in itertools.pairwise(shown))
    assert sum(sizes) - shown[-1] < 100


def test_a_shift_is_seen_in_training_deviations() -> None:
    drift, rows = Drift(MANIFEST), table_rows(4 * BLOCK, 5)
    rows[:, 0] += 30.0
    drift.add(rows)
    age, dose, _ = drift.seen()
    assert age.mean_difference == pytest.approx(3.0, abs=0.2)
    assert dose.mean_difference == pytest.approx(0.0, abs=0.2)


def test_without_training_figures_there_is_no_difference() -> None:
    drift = Drift({"task": MANIFEST["task"]})
    drift.add(table_rows(BLOCK))
    assert drift.seen()[0].mean is not None
    assert drift.seen()[0].mean_difference is None


def test_images_are_seen_by_channel_over_all_pixels() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (BLOCK, 4, 4, 1), dtype=np.uint8)
    drift = Drift({"task": IMAGES.model_dump(mode="json"), "inputs_seen": {"means": [100.0], "deviations": [50.0]}})
    drift.add(pixels)
    (channel,) = drift.seen()
    assert (channel.name, channel.count) == ("channel 0", BLOCK)
    assert channel.mean == pytest.approx(pixels.mean())
    assert channel.deviation == pytest.approx(pixels.std())
    assert channel.mean_difference == pytest.approx((pixels.mean() - 100.0) / 50.0)


def test_texts_are_seen_by_their_length() -> None:
    task: dict[str, Any] = {"family": "text", "padding": 0}
    ids = np.zeros((BLOCK, 6), np.int32)
    ids[:, :4] = 7
    ids[: BLOCK // 2, 4] = 7
    drift = Drift({"task": task})
    drift.add(ids)
    assert drift.seen()[0].mean == pytest.approx(4.5)
    assert drift.seen()[0].deviation == pytest.approx(0.5)


def test_texts_of_several_lengths_are_counted_together() -> None:
    drift = Drift({"task": {"family": "text", "padding": 0}})
    for length in (3, 5):
        drift.add(np.full((BLOCK // 2, length), 7, np.int32))
    assert drift.seen()[0].count == BLOCK
    assert drift.seen()[0].mean == pytest.approx(4.0)
