from __future__ import annotations

import itertools

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.secagg.encoding import DTYPES
from shared.secagg.masks import Mask, apply, inverse, pair_mask
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


@given(st.integers(0, 70), st.integers(0, 9), WIDTH, st.booleans(), st.integers(1, 20).map(lambda n: 8 * n))
def test_pieces_of_any_size_give_the_whole_keystream(words: int, counters: int, width: int, added: bool, chunk: int) -> None:
    update, sums = vectors(words, counters, width)
    mask = Mask(Stream("mask")(32), added)
    expected = plain(update, sums, mask)
    apply(update, sums, [mask], chunk_bytes=chunk)
    assert (update.tolist(), sums.tolist()) == expected


def test_large_vectors_cross_the_pieces_as_small_ones_do() -> None:
    masks = [Mask(Stream(name)(32), name != "b") for name in "abc"]
    for width in DTYPES:
        (one, sums), (other, counts) = vectors(300_001, 5, width), vectors(300_001, 5, width)
        apply(one, sums, masks)
        apply(other, counts, masks, chunk_bytes=1 << 22)
        assert one.tobytes() == other.tobytes()
        assert sums.tobytes() == counts.tobytes()


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
