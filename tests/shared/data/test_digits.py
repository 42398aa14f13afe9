from __future__ import annotations

import numpy as np

from shared.data.digits import TASK, read_digits


def test_digits_are_grey_images_over_the_whole_range_of_a_byte() -> None:
    records = read_digits()
    assert records.inputs.shape == (1797, TASK.size, TASK.size, TASK.channels)
    assert records.inputs.dtype == np.uint8
    assert (records.inputs.min(), records.inputs.max()) == (0, 255)
    assert len(np.unique(records.inputs)) == 17
    assert np.bincount(records.labels).min() > 170
