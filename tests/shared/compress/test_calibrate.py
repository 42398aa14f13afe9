from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.compress import calibrate, graph
from shared.compress.calibrate import calibrated_tensors, choose_ranges, clip_ranges, histogram_counts, range_counts
from shared.compress.scope import scope
from shared.errors import ArtifactError
from shared.work import EXPONENTS, HISTOGRAM_BINS


def calibrated(content, inputs):
    tensors = calibrated_tensors(content)
    lows, highs = choose_ranges(tensors, range_counts(content, tensors, inputs))
    return tensors, lows, highs, histogram_counts(content, tensors, lows, highs, inputs)


def test_every_tensor_of_the_scope_is_calibrated(table_onnx, image_onnx):
    for content in (table_onnx, image_onnx):
        assert calibrated_tensors(content) == scope(graph.parse(content)).tensors


@pytest.mark.parametrize("cut", [1, 63, 64, 200])
def test_counts_of_parts_add_up_to_the_whole(dense_onnx, cut):
    inputs = np.random.default_rng(1).normal(size=(300, 4)).astype(np.float32)
    tensors = calibrated_tensors(dense_onnx)
    parts = [range_counts(dense_onnx, tensors, part) for part in (inputs[:cut], inputs[cut:])]
    whole = range_counts(dense_onnx, tensors, inputs)
    assert (sum(parts) == whole).all()
    lows, highs = choose_ranges(tensors, whole)
    parts = [histogram_counts(dense_onnx, tensors, lows, highs, part) for part in (inputs[:cut], inputs[cut:])]
    assert (sum(parts) == histogram_counts(dense_onnx, tensors, lows, highs, inputs)).all()


def test_range_counts_count_each_value_by_sign_and_power_of_two(dense_onnx):
    inputs = np.array([[1.0, -1.0, 0.0, 3.0], [0.49, -5.0, 2.0**-40, 2.0**40]], np.float32)
    counts = range_counts(dense_onnx, ("inputs",), inputs).reshape(2, EXPONENTS)
    expected = np.zeros((2, EXPONENTS), np.int64)
    for sign, exponent in ((1, 32), (0, 32), (1, 0), (1, 33), (1, 30), (0, 34), (1, 0), (1, 63)):
        expected[sign, exponent] += 1
    assert (counts == expected).all()


def test_chosen_ranges_hold_every_value(table_onnx, table_rows):
    tensors, lows, highs, counts = calibrated(table_onnx, table_rows)
    assert all(low <= 0 < high for low, high in zip(lows, highs, strict=True))
    assert counts.reshape(len(tensors), -1).any(axis=1).all()


def test_ranges_of_nothing_are_still_ranges():
    lows, highs = choose_ranges(("t",), np.zeros(2 * EXPONENTS, np.int64))
    assert lows[0] == 0 < highs[0]
    assert clip_ranges(("t",), lows, highs, np.zeros(HISTOGRAM_BINS, np.int64))["t"] == (lows[0], highs[0])


def test_zeros_after_a_relu_are_not_counted(dense_onnx):
    inputs = np.zeros((10, 4), np.float32)
    counts = histogram_counts(dense_onnx, ("inputs", "r"), (-1.0, 0.0), (1.0, 1.0), inputs)
    assert counts.sum() == 0


def test_an_infinite_activation_is_refused(dense_onnx):
    with pytest.raises(ArtifactError, match="not finite"):
        range_counts(dense_onnx, ("inputs",), np.full((1, 4), np.inf, np.float32))


histograms = st.lists(st.integers(0, 1000), min_size=HISTOGRAM_BINS, max_size=HISTOGRAM_BINS)


@given(counts=histograms, low=st.floats(-100, 0), width=st.floats(0.01, 100))
@settings(max_examples=40, deadline=None)
def test_clipping_stays_within_the_range_and_around_zero(counts, low, width):
    high = max(low + width, 1e-3)
    (found,) = clip_ranges(("t",), (low,), (high,), np.array(counts)).values()
    assert low <= found[0] <= 0 <= found[1] <= high
    assert found[0] < found[1]


def test_clipping_gives_up_a_far_outlier_for_finer_steps():
    counts = np.zeros(HISTOGRAM_BINS, np.int64)
    counts[:64], counts[-1] = 10_000, 1
    low, high = clip_ranges(("t",), (0.0,), (8.0,), counts)["t"]
    assert low == 0.0
    assert 1.0 <= high < 8.0


def test_clipping_has_no_larger_error_than_the_full_range():
    random = np.random.default_rng(4)
    values = random.standard_t(3, 20_000)
    low, high = float(values.min()), float(values.max())
    counts, _ = np.histogram(values, HISTOGRAM_BINS, (low, high))
    chosen = clip_ranges(("t",), (low,), (high,), counts)["t"]

    def error(lowest: float, highest: float) -> float:
        step = (highest - lowest) / 255
        return float(np.mean((np.clip(np.rint((values - lowest) / step), 0, 255) * step + lowest - values) ** 2))

    assert error(*chosen) < error(low, high)


def test_large_activations_come_in_small_batches(dense_onnx, monkeypatch):
    inputs = np.random.default_rng(1).normal(size=(40, 4)).astype(np.float32)
    tensors = calibrated_tensors(dense_onnx)
    whole = range_counts(dense_onnx, tensors, inputs)
    monkeypatch.setattr(calibrate, "_MOST_VALUES", 70)
    assert (range_counts(dense_onnx, tensors, inputs) == whole).all()


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (1.0, -1.0), (float("-inf"), 1.0), (0.0, float("nan"))])
def test_a_range_that_is_none_is_refused(dense_onnx, low, high):
    with pytest.raises(ArtifactError, match="empty or not finite"):
        histogram_counts(dense_onnx, ("inputs",), (low,), (high,), np.ones((1, 4), np.float32))
