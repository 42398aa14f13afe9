"""Answers as vectors and blobs: centred, bounded, the same table on both sides, and a delta that moves nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load

from shared.answers import bounded, consensus_blob, flattened, inputs_digest, inputs_of, table_of
from shared.deltas import moved, pack, patched, quantise
from shared.errors import ProtocolError
from shared.task import Task
from tests.support.networks import IMAGES, TABLE, TEXTS, inputs

TABLES = st.tuples(st.integers(1, 20), st.integers(2, 7)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.floats(-1e6, 1e6, width=32))
)


@given(TABLES, st.floats(0.1, 100))
def test_answers_are_centred_bounded_and_keep_their_order(logits: np.ndarray, bound: float) -> None:
    found = bounded(logits, bound)
    assert found.dtype == np.float32
    assert np.abs(found).max() <= bound * (1 + 1e-6)
    np.testing.assert_allclose(found.mean(axis=1), 0, atol=1e-5 * bound)
    centred = logits.astype(np.float64) - logits.astype(np.float64).mean(axis=1, keepdims=True)
    assert (found[np.arange(len(found)), centred.argmax(axis=1)] == found.max(axis=1)).all()


def test_what_softmax_does_not_see_is_not_sent_and_small_answers_stay() -> None:
    logits = np.array([[1.0, 3.0], [0.0, 0.0]], np.float32)
    assert bounded(logits, 8.0).tobytes() == bounded(logits + 100, 8.0).tobytes()
    np.testing.assert_array_equal(bounded(logits, 8.0), [[-1, 1], [0, 0]])


@given(TABLES)
def test_a_table_comes_back_from_its_vector_and_the_norm_is_the_root_mean_square(logits: np.ndarray) -> None:
    table = bounded(logits, 8.0)
    vector = flattened(table)
    assert (vector.dtype, vector.shape) == (np.float32, (table.size,))
    np.testing.assert_allclose(table_of(vector, table.shape[1]), table, rtol=1e-6, atol=1e-30)
    assert np.linalg.norm(vector.astype(np.float64)) == pytest.approx(
        math.sqrt(np.mean(table.astype(np.float64) ** 2)), rel=1e-5, abs=1e-12
    )


@pytest.mark.parametrize("task", [TABLE, IMAGES, TEXTS])
def test_the_records_travel_once_and_deltas_move_the_consensus_alone(task: Task) -> None:
    raw = inputs(task, 5)
    before = np.linspace(-1, 1, 5 * len(task.labels)).astype(np.float32)
    delta = quantise(np.full(before.size, 0.25))
    after = moved(before, delta)
    blobs = consensus_blob(before, raw), consensus_blob(after, raw)
    packed = pack(delta, *blobs)
    assert patched(blobs[0], packed) == blobs[1]
    found = load(blobs[1])
    np.testing.assert_array_equal(found["vector"], after)
    np.testing.assert_array_equal(inputs_of(found["inputs"], task, 5), raw)
    assert inputs_digest(inputs_of(found["inputs"], task, 5)) == inputs_digest(raw)


def test_nothing_travels_of_generated_records() -> None:
    assert list(load(consensus_blob(np.zeros(4, np.float32), None))) == ["vector"]


def test_the_digest_sees_values_shape_and_type() -> None:
    raw = np.zeros((4, 2), np.float32)
    assert len({inputs_digest(raw), inputs_digest(raw + 1), inputs_digest(raw.reshape(2, 4)), inputs_digest(raw.view(np.int32))}) == 4


@pytest.mark.parametrize("task", [TABLE, IMAGES, TEXTS])
def test_another_number_of_records_or_none_is_refused(task: Task) -> None:
    words = load(consensus_blob(np.zeros(3, np.float32), inputs(task, 4)))["inputs"]
    for found, count in ((words, 400), (words[:-1], 4), (None, 4), (words.astype(np.int64), 4)):
        with pytest.raises(ProtocolError, match=f"the {count} proxy records that the plan names did not come whole"):
            inputs_of(found, task, count)
