from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shared.compress.weights import channel_scales

matrices = arrays(np.float32, (3, 8), elements=st.floats(-100, 100, width=32))


def errors(weights, scales, limit):
    steps = scales.astype(np.float64)[:, None]
    return ((np.clip(np.rint(weights / steps), -limit, limit) * steps - weights) ** 2).sum(axis=1)


@given(weights=matrices, limit=st.sampled_from([63, 127]))
@settings(max_examples=60, deadline=None)
def test_never_worse_than_reaching_the_largest_weight(weights, limit):
    largest = np.maximum(np.abs(weights).max(axis=1), 1e-12) / limit
    found = errors(weights, channel_scales(weights, 0, limit), limit)
    assert (found <= errors(weights, largest, limit) * (1 + 1e-4) + 1e-9).all()


def test_channels_lie_along_the_axis():
    weights = np.array([[1.0, 100.0], [-0.5, 50.0]], np.float32)
    by_column = channel_scales(weights, 1, 127)
    assert by_column.shape == (2,)
    assert by_column[1] / by_column[0] > 50
    assert (channel_scales(weights.T, 0, 127) == by_column).all()


def test_a_channel_of_zeros_has_a_usable_step():
    scales = channel_scales(np.zeros((2, 3), np.float32), 0, 63)
    assert (scales > 0).all()
