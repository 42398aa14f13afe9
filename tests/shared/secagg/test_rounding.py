from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.secagg.encoding import DTYPES, centred
from shared.secagg.rounding import round_to_words

KEY = bytes(range(32))


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=40), st.sampled_from([8, 16, 32]))
def test_each_word_is_a_neighbour_of_its_value_or_the_cut(values: list[float], width: int) -> None:
    level = 100
    words = centred(round_to_words(np.array(values, np.float32), 1.0, level, DTYPES[width], KEY))
    exact = np.clip(np.array(values, np.float32).astype(np.float64), -level, level)
    assert (np.abs(words - exact) < 1 + 1e-4).all()
    assert (np.abs(words) <= level).all()


@given(st.integers(-100, 100))
def test_whole_numbers_stay_themselves(value: int) -> None:
    assert set(centred(round_to_words(np.full(500, value, np.float32), 1.0, 100, np.uint8, KEY)).tolist()) == {value}


@pytest.mark.parametrize("value", [0.0625, 0.37, -0.5, 12.9])
def test_the_expectation_is_the_value(value: float) -> None:
    words = centred(round_to_words(np.full(400_000, value, np.float32), 1.0, 100, np.uint8, KEY))
    assert abs(words.mean() - value) < 5 * 0.5 / np.sqrt(400_000) + 2.0**-17


def test_a_key_gives_the_same_words_and_another_gives_others() -> None:
    values = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    one, again, other = (round_to_words(values, 10.0, 100, np.uint8, key) for key in (KEY, KEY, bytes(32)))
    assert one.tobytes() == again.tobytes() != other.tobytes()


def test_a_wide_ring_keeps_its_precision() -> None:
    values, level = np.array([1.0, -0.75, 1 / 3], np.float32), 2**29
    words = centred(round_to_words(values, float(level), level, np.uint32, KEY))
    assert (np.abs(words - values.astype(np.float64) * level) < 1).all()
