"""Deltas: the same bits on both sides, half a step off at most, less than a byte a coordinate, and nothing else is one."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared import deltas
from shared.deltas import BLOCK, LEVELS, Delta, moved, pack, patched, quantise
from shared.errors import NotFiniteError
from shared.secagg.errors import ForgedMessage, MissingBase
from tests.support.secagg import flipped

HEAD = b"whatever comes before the vector"
HEADER_BYTES = 80
SIZES = st.sampled_from([0, 1, 5, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
SPREADS = st.sampled_from([0.0, 1e-44, 1e-38, 1e-9, 1e-3, 1.0, 1e6, 1e30])


def content_of(vector: NDArray[np.float32]) -> bytes:
    return HEAD + vector.astype("<f4").tobytes()


def drawn(size: int, spread: float, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, 1, size) * spread


def example(size: int = 2000) -> tuple[bytes, bytes, bytes]:
    """A model, the packed delta from it, and the model that the delta gives."""
    before = drawn(size, 1.0, 1).astype(np.float32)
    delta = quantise(drawn(size, 1e-2, 2))
    contents = content_of(before), content_of(moved(before, delta))
    return contents[0], pack(delta, *contents), contents[1]


@given(SIZES, SPREADS, SPREADS, st.integers(0, 99))
def test_both_sides_have_the_same_bits(size: int, spread: float, step: float, seed: int) -> None:
    before = drawn(size, spread, seed).astype(np.float32)
    delta = quantise(drawn(size, step, seed + 1))
    after = moved(before, delta)
    assert after.dtype == np.float32
    assert patched(content_of(before), pack(delta, content_of(before), content_of(after))) == content_of(after)


@given(SIZES, SPREADS, st.integers(0, 99))
def test_a_word_is_at_most_half_a_step_from_the_exact_value(size: int, spread: float, seed: int) -> None:
    change = drawn(size, spread, seed)
    delta = quantise(change)
    scales = np.repeat(delta.scales.astype(np.float64), BLOCK)[:size]
    assert delta.words.shape == (size,)
    assert delta.scales.shape == (-(-size // BLOCK),)
    assert np.abs(delta.words).max(initial=0) <= LEVELS
    # A scale is rounded to float32, and so is the largest magnitude that it stands for.
    assert (np.abs(change - scales * delta.words) <= scales / 2 * (1 + 1e-5)).all()


@given(st.sampled_from([BLOCK, 2 * BLOCK, 5 * BLOCK]), SIZES, SPREADS, st.integers(0, 99))
def test_in_chunks_is_as_in_one(chunk: int, size: int, spread: float, seed: int) -> None:
    before, change = drawn(size, 1.0, seed).astype(np.float32), drawn(size, spread, seed + 1)
    whole = quantise(change)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deltas, "CHUNK", chunk)
        parts = quantise(change)
        assert moved(before, parts).tobytes() == moved_at_once(before, whole).tobytes()
    assert parts.scales.tobytes() == whole.scales.tobytes()
    assert parts.words.tobytes() == whole.words.tobytes()


def moved_at_once(vector: NDArray[np.float32], delta: Delta) -> NDArray[np.float32]:
    """The plain twin of :func:`moved`."""
    result: NDArray[np.float32] = vector + np.repeat(delta.scales, BLOCK)[: vector.size] * delta.words.astype(np.float32)
    return result


def test_a_large_vector_needs_little_beside_its_delta() -> None:
    change = drawn(4 * deltas.CHUNK, 1e-3, 5)
    tracemalloc.start()
    try:
        delta = quantise(change)
        highest = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The delta has 8 times fewer bytes than the change; without chunks there would be three more arrays like the change.
    assert highest < delta.words.nbytes + delta.scales.nbytes + 6 * 8 * deltas.CHUNK < 2 * change.nbytes


def test_a_small_block_beside_a_large_one_keeps_its_precision() -> None:
    change = np.concatenate([np.full(BLOCK, 1000.0), np.full(BLOCK, 1e-6)])
    assert np.allclose(moved(np.zeros(2 * BLOCK, np.float32), quantise(change)), change, rtol=1e-6)


def test_the_operations_are_float32_in_this_order() -> None:
    vector, delta = np.array([1.0, -3.0], np.float32), Delta(np.array([0.1], np.float32), np.array([3, -63], np.int8))
    plain = [np.float32(value + np.float32(np.float32(0.1) * np.float32(word))) for value, word in zip(vector, (3, -63), strict=True)]
    assert moved(vector, delta).tolist() == plain


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_no_delta(bad: float) -> None:
    change = np.zeros(3000)
    change[2999] = bad
    with pytest.raises(NotFiniteError, match=r"optimizer\.learning_rate"):
        quantise(change)


def adversaries(size: int) -> dict[str, NDArray[np.int8]]:
    rng = np.random.default_rng(7)
    phrases = rng.integers(-LEVELS, LEVELS + 1, (500, 9))
    return {
        "uniform": rng.integers(-LEVELS, LEVELS + 1, size),
        "extremes": rng.choice([-LEVELS, LEVELS], size),
        "each in turn": np.arange(size) % (2 * LEVELS + 1) - LEVELS,
        "phrases": phrases[rng.integers(0, 500, -(-size // 9))].reshape(-1)[:size],
        "gaussian": np.clip(np.rint(rng.normal(0, 17, size)), -LEVELS, LEVELS),
        "noise, then silence": np.where(np.arange(size) % 40_000 < 20_000, rng.integers(-LEVELS, LEVELS + 1, size), 0),
    }


@pytest.mark.parametrize("name", adversaries(1))
@pytest.mark.parametrize("size", [1, 300, 1000, 5000, 100_000, 1_000_000])
def test_no_words_need_more_than_a_byte(size: int, name: str) -> None:
    scales = np.random.default_rng(1).random(-(-size // BLOCK), np.float32)
    packed = pack(Delta(scales, adversaries(size)[name].astype(np.int8)), b"before", b"after")
    assert len(packed) <= size + HEADER_BYTES + 20, "whatever the size, a constant more at most"
    if size >= 5000:
        assert len(packed) <= 0.92 * size


def test_a_gaussian_change_needs_four_fifths_of_a_byte_and_none_next_to_nothing() -> None:
    assert len(pack(quantise(drawn(100_000, 1e-3, 1)), b"", b"")) < 0.82 * 100_000
    assert len(pack(quantise(np.zeros(100_000)), b"", b"")) < 200


def test_a_delta_to_another_base_says_that_the_base_is_missing() -> None:
    before, packed, after = example()
    for other in (b"", after, before + b"\0"):
        with pytest.raises(MissingBase, match="whole model"):
            patched(other, packed)


def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing() -> None:
    before, packed, after = example(300)
    harmless = 0
    for bit in range(8 * len(packed)):
        try:
            result = patched(before, flipped(packed, bit))
        except (ForgedMessage, MissingBase):
            continue
        assert result == after
        harmless += 1
    # zstd leaves a few bits unused: in its header, and at the ends of its bit streams.
    assert harmless <= 8


def test_a_delta_cut_short_or_with_something_after_it_is_refused() -> None:
    before, packed, _ = example(300)
    for length in range(len(packed)):
        with pytest.raises(ForgedMessage):
            patched(before, packed[:length])
    with pytest.raises(ForgedMessage):
        patched(before, packed + b"\0")


def test_a_delta_of_another_version_is_refused_by_name_of_the_cause() -> None:
    before, packed, _ = example()
    with pytest.raises(ForgedMessage, match="version 2"):
        patched(before, packed[:7] + b"\2" + packed[8:])


@pytest.mark.parametrize("declared", [2001, 2**20, 2**40, 2**64 - 1])
def test_a_declared_number_of_coordinates_allocates_nothing(declared: int) -> None:
    before, packed, _ = example()
    assert_refused_within(before, packed[:8] + declared.to_bytes(8, "little") + packed[16:], 2**20)


@pytest.mark.parametrize("sized", [True, False])
def test_a_bomb_is_not_inflated(sized: bool) -> None:
    before, packed, _ = example()
    writer = zstandard.ZstdCompressor(write_content_size=sized).compressobj(size=2**28 if sized else -1)
    bomb = writer.compress(bytes(2**28)) + writer.flush()
    assert_refused_within(before, packed[:HEADER_BYTES] + bomb, 2**20)


def assert_refused_within(before: bytes, packed: bytes, most: int) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ForgedMessage):
            patched(before, packed)
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


@settings(max_examples=300)
@given(st.binary(max_size=200), st.booleans(), st.booleans())
def test_garbage_is_a_typed_refusal(garbage: bytes, headed: bool, framed: bool) -> None:
    before, packed, _ = example(16)
    # Behind a good header, and then inside a good frame, garbage gets further into the parser.
    body = zstandard.ZstdCompressor().compress(garbage) if framed else garbage
    with pytest.raises((ForgedMessage, MissingBase)):
        patched(before, packed[:HEADER_BYTES] + body if headed else body)


@settings(max_examples=100)
@given(st.lists(st.floats(width=32, allow_nan=True), min_size=1, max_size=1), st.binary(min_size=16, max_size=16))
def test_any_scale_and_any_words_in_a_good_frame_are_refused_without_a_warning(scale: list[float], words: bytes) -> None:
    before, packed, _ = example(16)
    body = np.array(scale, "<f4").tobytes() + words
    with pytest.raises(ForgedMessage, match="does not give the model"):
        patched(before, packed[:HEADER_BYTES] + zstandard.ZstdCompressor().compress(body))
