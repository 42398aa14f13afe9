"""An institution's own ledger of what its updates have cost it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from client.budget import PrivacyGuard
from client.ledger import Charge, EpochState, Ledger, Slot
from shared.errors import PolicyRefusal
from shared.exchange import Reply
from shared.privacy.budget import Spent
from shared.secagg.messages import Layout, Plan
from shared.secagg.rules import SecaggPolicy
from shared.work import StatisticsRangeWork
from tests.client.test_policy import TRAIN, config
from tests.support.secagg import Federation

POLICY = SecaggPolicy()


def plan(**changed: Any) -> Plan:
    made = Federation().plan(layout=Layout(400, 9, 16), rotation=True)
    return replace(made, **({"noise": 300.0, "count_noise": 4.0} | changed))


def guard(folder: Path, **policy: Any) -> PrivacyGuard:
    return PrivacyGuard(config(**policy), POLICY, Ledger(folder / "ledger.sqlite"))


def answer(ledger: Ledger, number: int, charge: Charge) -> None:
    slot, before = Slot("trial", 1, number, "train"), ledger.epoch("trial", 1)
    ledger.record(slot, bytes(32), Reply(b"header"), before, b"state", charge)


def test_answers_add_up_until_the_limit_and_no_further(tmp_path: Path) -> None:
    cost = guard(tmp_path).charge(plan(), TRAIN).rho
    limited = guard(tmp_path, most_epsilon=Spent().after(2.5 * cost).epsilon(1e-5))
    for number in (1, 2):
        answer(limited.ledger, number, limited.charge(plan(), TRAIN))
    assert limited.ledger.spent() == Spent(pytest.approx(2 * cost), 2)
    with pytest.raises(PolicyRefusal, match=r"its updates would then have cost an epsilon of .*, its own limit is"):
        limited.charge(plan(), TRAIN)


def test_two_rounds_asked_at_once_do_not_slip_past_it_together(tmp_path: Path) -> None:
    cost = guard(tmp_path).charge(plan(), TRAIN).rho
    limited = guard(tmp_path, most_epsilon=Spent().after(1.5 * cost).epsilon(1e-5))
    first, second = limited.charge(plan(), TRAIN), limited.charge(plan(), TRAIN)
    answer(limited.ledger, 1, first)
    with pytest.raises(PolicyRefusal, match="its own limit"):
        answer(limited.ledger, 2, second)
    assert limited.ledger.spent().rounds == 1
    assert limited.ledger.epoch("trial", 1) == EpochState(b"state", 1)


def test_an_answer_given_again_costs_nothing(tmp_path: Path) -> None:
    limited = guard(tmp_path)
    charge = limited.charge(plan(), TRAIN)
    for _ in range(2):
        answer(limited.ledger, 1, charge)
    assert limited.ledger.spent().rounds == 1


def test_rounds_that_only_count_cost_nothing(tmp_path: Path) -> None:
    assert guard(tmp_path, most_epsilon=1.0).charge(plan(), StatisticsRangeWork()).rho == 0.0


def test_without_a_limit_rounds_without_noise_are_answered_and_with_one_they_are_not(tmp_path: Path) -> None:
    assert guard(tmp_path).charge(plan(noise=0.0), TRAIN).rho == 0.0
    with pytest.raises(PolicyRefusal, match="it asks for an update without noise, and a limit on epsilon is set"):
        guard(tmp_path, most_epsilon=5.0).charge(plan(noise=0.0), TRAIN)
