from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.secagg import masks
from shared.secagg.encoding import DTYPES
from shared.secagg.masks import MOST_THREADS, Mask, apply, inverse, pair_mask
from shared.secagg.messages import Words
from tests.support.secagg import Stream

WIDTH = st.sampled_from(sorted(DTYPES))


def plain(update: Words, counters: NDArray[np.uint64], mask: Mask) -> tuple[list[int], list[int]]:
    """What a mask does, from the whole keystream and in Python's integers."""
    size = counters.nbytes + update.nbytes
    stream = Cipher(algorithms.AES(mask.seed), modes.CTR(bytes(16))).encryptor().update(bytes(size))
    sums, start = [], 0
    for vector in (counters, update):
        wide = vector.itemsize
        words = [int.from_bytes(stream[start + place * wide : start + (place + 1) * wide], "little") for place in range(vector.size)]
        sign = 1 if mask.added else -1
        sums.append([(int(value) + sign * word) % 256**wide for value, word in zip(vector, words, strict=True)])
        start += vector.nbytes
    return sums[1], sums[0]


def vectors(words: int, counters: int, width: int) -> tuple[Words, NDArray[np.uint64]]:
    rng = np.random.default_rng(words + counters + width)
    dtype = DTYPES[width]
    return rng.integers(0, 2**width, words, dtype=dtype), rng.integers(0, 2**64, counters, dtype=np.uint64)


@given(st.integers(0, 70), st.integers(0, 9), WIDTH, st.booleans(), st.integers(1, 20).map(lambda n: 8 * n), st.integers(1, 5))
def test_pieces_and_threads_of_any_number_give_the_whole_keystream(
    words: int, counters: int, width: int, added: bool, chunk: int, threads: int
) -> None:
    update, sums = vectors(words, counters, width)
    mask = Mask(Stream("mask")(32), added)
    expected = plain(update, sums, mask)
    apply(update, sums, [mask], chunk_bytes=chunk, threads=threads)
    assert (update.tolist(), sums.tolist()) == expected


@pytest.mark.parametrize("width", sorted(DTYPES))
def test_large_vectors_cross_pieces_and_threads_as_small_ones_do(width: int) -> None:
    three = [Mask(Stream(name)(32), name != "b") for name in "abc"]
    once, counted = vectors(600_001, 5, width)
    apply(once, counted, three, chunk_bytes=1 << 23, threads=1)
    for threads in (1, 2, 3):
        update, sums = vectors(600_001, 5, width)
        apply(update, sums, three, threads=threads)
        assert update.tobytes() == once.tobytes()
        assert sums.tobytes() == counted.tobytes()


def test_threads_are_taken_unasked_for_much_work_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, workers: int) -> None:
            asked.append(workers + 1)
            super().__init__(workers)

    monkeypatch.setattr(masks, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(masks.os, "cpu_count", lambda: 64)
    seeds = [Mask(Stream(str(index))(32), True) for index in range(4)]
    for size in (0, 1 << 20, 9 << 20, 40 << 20):
        apply(np.zeros(size, np.uint8), np.zeros(2, np.uint64), seeds)
    assert asked == [2, MOST_THREADS]


def test_a_failure_in_another_thread_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = masks.keystream

    def broken(seed: bytes, offset: int) -> Callable[[memoryview, memoryview], int]:
        if offset:
            raise MemoryError("no room for the second range")
        return whole(seed, offset)

    monkeypatch.setattr(masks, "keystream", broken)
    with pytest.raises(MemoryError, match="second range"):
        apply(np.zeros(1 << 12, np.uint8), np.zeros(0, np.uint64), [Mask(bytes(32), True)], threads=2)


@given(st.integers(0, 50), st.integers(0, 5), WIDTH)
def test_a_mask_and_its_inverse_cancel(words: int, counters: int, width: int) -> None:
    update, sums = vectors(words, counters, width)
    before = update.tobytes(), sums.tobytes()
    mask = Mask(Stream("cancel")(32), True)
    apply(update, sums, [mask, inverse(mask)])
    assert (update.tobytes(), sums.tobytes()) == before


@settings(max_examples=12)
@given(st.integers(2, 64), WIDTH)
def test_pair_masks_of_any_cohort_cancel(members: int, width: int) -> None:
    names = [f"i{index:02d}" for index in range(members)]
    update, sums = np.zeros(5, DTYPES[width]), np.zeros(2, np.uint64)
    for one, other in itertools.permutations(names, 2):
        apply(update, sums, [pair_mask(one, other, Stream("/".join(sorted((one, other))))(32))], chunk_bytes=64)
    assert not update.any()
    assert not sums.any()


@pytest.mark.parametrize("width", sorted(DTYPES))
def test_every_ring_value_is_equally_likely(width: int) -> None:
    update, sums = np.zeros(1 << 18, DTYPES[width]), np.zeros(0, np.uint64)
    apply(update, sums, [Mask(Stream("uniform")(32), True)])
    # Chi-squared over the top and the bottom byte: 255 degrees of freedom, 99.99 % below 347.
    for part in (update & 0xFF, update >> (width - 8)):
        counts = np.bincount(part.astype(np.int64), minlength=256)
        expected = update.size / 256
        assert ((counts - expected) ** 2 / expected).sum() < 347
    assert int(update.max()) > 0.999 * 2**width - 2  # the top of the range is drawn too
