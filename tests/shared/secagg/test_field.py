from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shared.secagg.field import combine, lagrange, multiply, powers

ELEMENT = st.integers(0, 255)


def by_shifts(one: int, other: int) -> int:
    """The textbook product: shift, add, reduce."""
    product = 0
    for bit in range(8):
        if other >> bit & 1:
            product ^= one << bit
    for bit in range(14, 7, -1):
        if product >> bit & 1:
            product ^= 0x11B << (bit - 8)
    return product


@given(ELEMENT, ELEMENT)
def test_products_are_those_of_the_textbook(one: int, other: int) -> None:
    assert multiply(one, other) == by_shifts(one, other)


def test_the_products_of_aes() -> None:
    # FIPS 197, section 4.2.
    assert multiply(0x57, 0x83) == 0xC1
    assert multiply(0x57, 0x13) == 0xFE


@given(st.integers(1, 5), st.integers(1, 5))
def test_a_matrix_product_is_the_sum_of_products(rows: int, columns: int) -> None:
    rng = np.random.default_rng(rows * 10 + columns)
    matrix = rng.integers(0, 256, (rows, columns), np.uint8)
    secrets = rng.integers(0, 256, (columns, 3, 2), np.uint8)
    expected = np.zeros((rows, 3, 2), np.uint8)
    for index in np.ndindex(rows, columns, 3, 2):
        row, column, *place = index
        expected[row, place[0], place[1]] ^= by_shifts(int(matrix[row, column]), int(secrets[column, place[0], place[1]]))
    assert (combine(matrix, secrets) == expected).all()


@given(st.lists(st.integers(1, 255), min_size=1, max_size=5), st.integers(1, 300))
def test_powers_are_repeated_products(elements: list[int], count: int) -> None:
    table = powers(elements, count).tolist()
    for element, row in zip(elements, table, strict=True):
        assert row == [*itertools.accumulate([element] * (count - 1), multiply, initial=1)]


def test_interpolation_gives_back_what_it_is_given() -> None:
    places = [1, 5, 9, 200]
    assert (lagrange(places, places) == np.eye(4, dtype=np.uint8)).all()
