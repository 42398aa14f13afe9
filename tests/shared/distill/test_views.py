"""A view is a function of seed, row and number: never of the batch, never the record's own memory, always the task's raw form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.data.records import Records
from shared.distill.views import Views, augmented, substitute
from shared.task import ImageTask, Task, TextTask
from tests.support.networks import IMAGES, TABLE, inputs

TEXT = TextTask(family="text", labels=("a", "b"), tokenizer_sha256="0" * 64, vocabulary=50, max_tokens=12)
COLOUR = ImageTask(family="image", labels=("a", "b"), size=16, channels=3)
TASKS = [TABLE, IMAGES, COLOUR, TEXT]


def raw(task: Task, count: int = 12) -> NDArray[np.generic]:
    if isinstance(task, TextTask):
        rng = np.random.default_rng(3)
        tokens = rng.integers(2, task.vocabulary, (count, task.max_tokens)).astype(np.int32)
        lengths = rng.integers(1, task.max_tokens + 1, count)
        tokens[np.arange(task.max_tokens) >= lengths[:, None]] = task.padding
        return tokens
    return inputs(task, count)


def same(one: NDArray[np.generic], other: NDArray[np.generic]) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


@pytest.mark.parametrize("task", TASKS)
def test_view_0_is_the_record_as_it_is(task: Task) -> None:
    values = raw(task)
    found = augmented(task, values, np.arange(12), 0, seed=1)
    assert same(found, values)
    assert not np.shares_memory(found, values)


@pytest.mark.parametrize("task", TASKS)
@given(order=st.permutations(range(12)), size=st.integers(1, 12), view=st.integers(0, 5), seed=st.integers(0, 3))
def test_neither_batch_nor_order_changes_a_view(task: Task, order: list[int], size: int, view: int, seed: int) -> None:
    values, rows = raw(task), np.array(order[:size])
    whole = augmented(task, values, np.arange(12), view, seed)
    assert same(augmented(task, values[rows], rows, view, seed), whole[rows])


@pytest.mark.parametrize("task", TASKS)
def test_views_rows_and_seeds_differ_and_leave_the_record_alone(task: Task) -> None:
    values = raw(task)
    before, rows = values.copy(), np.arange(12)
    one = augmented(task, values, rows, 1, seed=1)
    assert same(values, before)
    assert not same(one, values)
    assert not same(one, augmented(task, values, rows, 2, seed=1))
    assert not same(one, augmented(task, values, rows, 1, seed=2))
    assert not same(one, augmented(task, values, rows + 1, 1, seed=1))


@given(seed=st.integers(0, 50), view=st.integers(1, 9))
def test_padding_is_never_put_in_nor_taken_away(seed: int, view: int) -> None:
    values = raw(TEXT)
    found = augmented(TEXT, values, np.arange(12), view, seed)
    assert ((found == TEXT.padding) == (values == TEXT.padding)).all()
    assert (found[:, 0] == values[:, 0]).all()
    assert set(found[found != values].tolist()) <= {substitute(TEXT)}
    assert substitute(TEXT.model_copy(update={"padding": 1})) == 0


@given(seed=st.integers(0, 50), view=st.integers(1, 9))
def test_a_table_only_loses_cells_and_never_all(seed: int, view: int) -> None:
    values = np.ones((12, 4), np.float32)
    found = augmented(TABLE, values, np.arange(12), view, seed)
    assert np.isin(found[~np.isnan(found)], [1.0]).all()
    assert not np.isnan(found).all(axis=1).any()


def test_an_even_image_stays_even() -> None:
    # Mirrored, moved and lit, a plane is a plane: nothing is cut out.
    values = np.full((12, 16, 16, 3), 100, np.uint8)
    found = augmented(COLOUR, values, np.arange(12), 1, seed=1)
    assert all(len(np.unique(image)) == 1 for image in found)
    assert np.abs(found.astype(int) - 100).max() <= 26


def test_epochs_go_round_the_views_and_on_over_rounds() -> None:
    assert [Views(TABLE, 3).of(epoch) for epoch in range(4)] == [0, 1, 2, 0]
    assert Views(TABLE, 3, first=4).of(1) == 2


def test_records_keep_labels_and_texts() -> None:
    values, texts = raw(TEXT), np.array([f"text {place}" for place in range(12)])
    records, rows = Records(values, np.arange(12), texts), np.array([5, 2])
    found = Views(TEXT, 2, seed=1).records(records, rows, 1)
    assert found.labels.tolist() == [5, 2]
    assert found.texts is not None
    assert found.texts.tolist() == ["text 5", "text 2"]
    assert same(found.inputs, augmented(TEXT, values[rows], rows, 1, seed=1))
    assert same(Views(TEXT).records(records, rows, 0).inputs, values[rows])
