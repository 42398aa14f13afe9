"""Attached bytes come back as they were, whatever their length, and words that nobody made are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load

from shared.attached import blob_of, sized_content, sized_words, words_of
from shared.deltas import pack, patched, quantise
from shared.errors import ProtocolError


@given(st.binary(max_size=100))
def test_content_comes_back(content: bytes) -> None:
    assert sized_content(sized_words(content), "a graph") == content


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_other_content_gives_other_words(one: bytes, other: bytes) -> None:
    assert (one == other) == np.array_equal(sized_words(one), sized_words(other))


@pytest.mark.parametrize(
    "words",
    [
        None,
        np.array([], np.uint64),
        np.array([9, 1], np.uint64),
        np.array([1, 2**40], np.uint64),
        np.array([2**63], np.uint64),
        np.array([8, 1], np.int64),
        sized_words(b"12345678" * 4)[:-1],
        np.zeros((2, 2), np.uint64),
    ],
)
def test_words_that_nobody_made_are_refused(words: np.ndarray | None) -> None:
    with pytest.raises(ProtocolError, match="the graph that the plan names did not come whole"):
        sized_content(words, "the graph")


def test_what_is_attached_lies_before_the_vector_and_a_delta_leaves_it() -> None:
    before, after = np.zeros(40, np.float32), np.full(40, 0.5, np.float32)
    attached = {"graph": sized_words(bytes(range(200)) * 50), "inputs": words_of(b"abc")}
    whole, next_one = blob_of(before, attached), blob_of(after, attached)
    assert sized_content(load(next_one)["graph"], "the graph") == bytes(range(200)) * 50
    assert whole[: -before.nbytes] == next_one[: -after.nbytes], "only the end changes"
    delta = pack(quantise(np.full(40, 0.5)), whole, next_one)
    assert patched(whole, delta) == next_one
    assert len(delta) < 400
