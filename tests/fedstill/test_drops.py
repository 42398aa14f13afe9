"""``--drop``: what can be written, and who vanishes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedstill.drops import Drop, check_rounds, parse_drop, schedule
from shared.errors import ConfigError

NAMES = ("a", "b", "c", "d")


def test_a_number_is_how_many_and_a_name_is_who() -> None:
    assert parse_drop("2@3") == Drop(2, 3)
    assert parse_drop("va-long-beach@10") == Drop("va-long-beach", 10)


@pytest.mark.parametrize("text", ["", "3", "@3", "a@", "a@0", "a@x", "1@-1", "0@3", "00@3"])
def test_anything_else_is_refused_with_the_right_form(text: str) -> None:
    with pytest.raises(ConfigError, match="HOW_MANY@ROUND or NAME@ROUND"):
        parse_drop(text)


def test_the_seed_alone_decides_who_vanishes() -> None:
    first = schedule([Drop(2, 3)], NAMES, seed=7)
    assert first == schedule([Drop(2, 3)], NAMES[::-1], seed=7)
    assert len(first[3]) == 2
    assert {schedule([Drop(1, 3)], NAMES, seed=seed)[3] for seed in range(20)} == {frozenset({name}) for name in NAMES}


def test_drops_of_one_round_add_up() -> None:
    assert schedule([Drop("a", 2), Drop("b", 2), Drop("a", 5)], NAMES, seed=1) == {2: frozenset("ab"), 5: frozenset("a")}


@pytest.mark.parametrize(("drop", "sentence"), [(Drop("e", 1), "no such institution; there are a, b, c, d"), (Drop(5, 1), "only 4")])
def test_who_is_not_there_cannot_vanish(drop: Drop, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        schedule([drop], NAMES, seed=1)


@given(rounds=st.integers(1, 100), asked=st.lists(st.integers(1, 100), max_size=4))
def test_a_round_that_never_comes_is_refused(rounds: int, asked: list[int]) -> None:
    drops = [Drop("a", number) for number in asked]
    if all(number <= rounds for number in asked):
        check_rounds(drops, rounds)
    else:
        with pytest.raises(ConfigError, match=f"the run has {rounds} training rounds"):
            check_rounds(drops, rounds)
