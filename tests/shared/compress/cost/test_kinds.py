from __future__ import annotations

from shared.compress.cost.kinds import (
    _BY_KIND,
    BY_ROW,
    BY_SPAN,
    CONVERSIONS,
    CONVOLUTIONAL,
    CONVOLUTIONS,
    DENSE,
    LIGHT,
    PRODUCTS,
    SECOND_OPERAND,
)


def test_every_operator_is_of_one_kind() -> None:
    named = [name for names in _BY_KIND.values() for name in names.split()]
    assert len(named) == len(set(named)) == len(LIGHT)
    assert not (set(LIGHT) & (CONVOLUTIONS | PRODUCTS))
    assert not CONVOLUTIONS & PRODUCTS


def test_groups_of_kinds_are_of_kinds_that_there_are() -> None:
    known = set(LIGHT.values()) | DENSE
    assert known >= (BY_ROW | BY_SPAN | CONVERSIONS | CONVOLUTIONAL)
    assert not DENSE & set(LIGHT.values())


def test_whose_second_matrix_is_elsewhere_multiplies() -> None:
    assert set(SECOND_OPERAND) <= CONVOLUTIONS | PRODUCTS
