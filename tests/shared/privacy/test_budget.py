from __future__ import annotations

import json
import math
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import ConfigError
from shared.privacy.accounting import epsilon
from shared.privacy.budget import Budget, Spent


def test_rounds_add_their_rho() -> None:
    spent = Spent().after(0.25).after(0.5)
    assert spent == Spent(rho=0.75, rounds=2)
    assert spent.epsilon(1e-6) == epsilon(0.75, 1e-6)
    assert Spent().epsilon(1e-6) == 0


@settings(max_examples=15)
@given(st.floats(0.1, 50), st.floats(1e-12, 1e-2), st.integers(1, 40))
def test_equal_parts_of_a_budget_are_affordable_and_one_more_is_not(level: float, delta: float, rounds: int) -> None:
    budget, spent = Budget(level, delta), Spent()
    part = budget.rho / rounds
    for _ in range(rounds):
        assert budget.affords(spent, part)
        spent = spent.after(part)
    assert not budget.affords(spent, part)
    assert spent.epsilon(delta) <= level


def test_both_go_through_json() -> None:
    for value in (Budget(4.0, 1e-6), Spent(0.125, 3)):
        assert type(value)(**json.loads(json.dumps(asdict(value)))) == value


@pytest.mark.parametrize(("level", "delta"), [(0.0, 1e-6), (-1.0, 1e-6), (math.inf, 1e-6), (1.0, 0.0), (1.0, 1.0), (math.nan, 0.5)])
def test_a_budget_that_promises_nothing_is_refused(level: float, delta: float) -> None:
    with pytest.raises(ConfigError, match="a budget needs"):
        Budget(level, delta)


@pytest.mark.parametrize("rho", [-0.1, math.nan, math.inf])
def test_a_round_cannot_give_back(rho: float) -> None:
    with pytest.raises(ConfigError, match="cannot spend"):
        Spent().after(rho)
