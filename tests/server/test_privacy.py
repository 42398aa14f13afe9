"""The run's budget: the least noise that keeps it, and where training ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from server.events import BudgetSpent, Event, PrivacyStated
from server.privacy import PrivacyPlanner
from server.records import RoundRecord
from shared.config import PrivacySettings
from shared.errors import ConfigError
from shared.secagg.encoding import level_of, prove_headroom, rounded_norm
from shared.secagg.messages import Layout, Plan
from tests.support.secagg import Federation
from tests.support.small import NAMES, make_federation

WIDE = {"width": 32, "rotation": True}


def plan(size: int = 500, width: int = 16, **changed: Any) -> Plan:
    return Federation().plan(layout=Layout(size, 3, width), rotation=True, **changed)


@pytest.mark.parametrize(("epsilon", "size"), [(1.0, 500), (10.0, 500), (10.0, 100_000), (40.0, 20)])
def test_the_noise_is_the_least_that_the_allowance_bears(epsilon: float, size: int) -> None:
    planner = PrivacyPlanner(PrivacySettings(epsilon=epsilon), 8)
    made = planner.noised(plan(size, 32))
    prove_headroom(made)
    assert level_of(made) >= 1
    assert planner.cost(made) <= planner.allowance
    assert planner.cost(made) > 0.98 * planner.allowance
    assert made.noise > 0.1 * rounded_norm(made) / (epsilon + 1)


def test_rounds_of_the_allowance_add_up_to_the_promise() -> None:
    planner = PrivacyPlanner(PrivacySettings(epsilon=2.0), 5)
    records = tuple(RoundRecord(number=number, phase="train", rho=planner.allowance) for number in range(1, 6))
    assert planner.spent(()) == 0.0
    assert 1.9 < planner.spent(records) <= 2.0
    assert not planner.exhausted(records[:4])
    assert planner.exhausted(records)


def test_a_delta_finer_than_the_sampler_is_refused() -> None:
    planner = PrivacyPlanner(PrivacySettings(epsilon=1.0, delta=1e-40), 5)
    with pytest.raises(ConfigError, match="is finer than noise can be drawn for 500 parameters in 5 rounds"):
        planner.noised(plan(width=32))


def test_a_run_says_what_it_promises_first_and_what_it_has_spent_last(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 4, rounds=2, privacy={"epsilon": 30.0}, aggregation=WIDE)
    events: list[Event] = []
    result = federation.run(events=events)
    stated = next(event for event in events if isinstance(event, PrivacyStated))
    assert (stated.epsilon, stated.delta, stated.rounds, stated.spent) == (30.0, 1e-5, 2, 0.0)
    assert events.index(stated) == 1
    training = [record for record in result.rounds if record.phase == "train"]
    assert [record.status for record in training] == ["closed", "closed"]
    assert all(record.rho > 0 for record in training)
    assert all(record.rho == 0 for record in result.rounds if record.phase != "train")
    assert not any(isinstance(event, BudgetSpent) for event in events)


def test_void_rounds_are_paid_for_and_training_ends_with_the_budget(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 4, rounds=2, privacy={"epsilon": 30.0}, aggregation=WIDE)
    events: list[Event] = []
    # Three of four do not unmask in round 3: its masked answers are out, and it is void.
    silent = set(NAMES[:3])
    result = federation.run(
        events=events, faults=lambda name, number, stage: "before" if (number, stage) == (3, "unmask") and name in silent else None
    )
    training = [record.status for record in result.rounds if record.phase == "train"]
    assert training == ["void", "closed"]
    spent = next(event for event in events if isinstance(event, BudgetSpent))
    assert spent.rounds == 1
    assert spent.epsilon <= 30.0
