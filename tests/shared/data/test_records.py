from __future__ import annotations

import numpy as np
import pytest

from shared.data.records import Records, Split, digest_of, joined


def records(count: int) -> Records:
    return Records(np.arange(2 * count, dtype=np.float32).reshape(count, 2), np.arange(count, dtype=np.int64))


def test_take_keeps_inputs_and_labels_together_and_their_order() -> None:
    taken = records(5).take(np.array([3, 0]))
    assert len(taken) == 2
    np.testing.assert_array_equal(taken.inputs, [[6, 7], [0, 1]])
    np.testing.assert_array_equal(taken.labels, [3, 0])


def test_joining_the_parts_of_a_split_gives_all_records() -> None:
    split = Split(records(5).take(np.array([0, 2])), records(5).take(np.array([1])))
    np.testing.assert_array_equal(joined([split.train, split.test]).labels, [0, 2, 1])


def test_records_are_frozen() -> None:
    with pytest.raises(AttributeError):
        records(1).labels = np.zeros(1, np.int64)  # type: ignore[misc]


def test_the_digest_sees_every_value_and_its_place() -> None:
    one = records(4)
    texts = Records(one.inputs, one.labels, np.array(["a", "bc", "d", "e"]))
    moved = Records(one.inputs, one.labels, np.array(["ab", "c", "d", "e"]))
    other = Records(one.inputs, one.labels[::-1])
    wide = Records(one.inputs.reshape(2, 4), one.labels)
    assert len({digest_of(found) for found in (one, texts, moved, other, wide, one.take(np.arange(3)))}) == 6
    assert digest_of(one) == digest_of(records(4))
