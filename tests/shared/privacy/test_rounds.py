from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from shared.privacy.accounting import epsilon, rounded_norm_bound
from shared.privacy.noise import discrete_gaussian
from shared.privacy.rounds import MECHANISM, least_honest, round_allowance, round_cost
from shared.secagg.encoding import centred, rounded_norm, steps_per_unit
from shared.secagg.messages import Layout, Plan
from tests.support.secagg import Federation, Stream, Vector


def plan(**changed: Any) -> Plan:
    return Federation().plan(layout=Layout(400, 3, 16), rotation=True, noise=300.0, count_noise=4.0, **changed)


def test_the_smallest_opened_sum_and_its_honest_part_count() -> None:
    assert least_honest(plan(), 1, 3) == 3  # of five, four must survive and one may collude
    assert least_honest(plan(), 1, 5) == 4
    assert least_honest(plan(), 9, 3) == 1


@pytest.mark.parametrize("rounds", [1, 7])
def test_rounds_of_the_allowance_keep_the_promise_and_use_it_up(rounds: int) -> None:
    spent = epsilon(rounds * round_allowance(2.0, 1e-5, rounds), 1e-5 * MECHANISM)
    assert 2.0 * (1 - 1e-3) < spent <= 2.0


def test_more_noise_and_more_honest_institutions_cost_less() -> None:
    cost = round_cost(plan(), 1, 3)
    assert round_cost(replace(plan(), noise=600.0), 1, 3) < cost
    assert round_cost(replace(plan(), count_noise=8.0), 1, 3) < cost
    assert round_cost(plan(), 0, 3) < cost < round_cost(plan(), 2, 3)


def test_the_cost_is_that_of_the_longest_words() -> None:
    # 1/2 (norm / total deviation)² for the update, and the same for a count of one; tau is nothing at this noise.
    made = plan()
    expected = 0.5 * (rounded_norm(made) / (300.0 * np.sqrt(3))) ** 2 + 0.5 * (1 / (4.0 * np.sqrt(3))) ** 2
    assert round_cost(made, 1, 3) == pytest.approx(expected, rel=1e-6)


def test_the_protocol_and_the_accountant_bound_rounding_alike() -> None:
    made = plan()
    norm = made.clip_norm * steps_per_unit(made)
    assert rounded_norm(made) == pytest.approx(rounded_norm_bound(norm, made.layout.update_words, np.exp(-0.5)))


def test_the_variance_of_the_sum_is_the_accounted_one() -> None:
    """A whole masked round of noise alone: five institutions, four thousand coordinates."""
    federation, size = Federation(), 4000
    made = federation.plan(layout=Layout(size, 0, 32), rotation=True, noise=50.0)
    noise = {name: discrete_gaussian(made.noise, size, Stream(f"noise/{name}")) for name in made.cohort}
    masked = federation.coordinator(made)
    for name, drawn in noise.items():
        masked.add(federation.mask(made, name, Vector(drawn.astype(np.uint32), np.zeros(0, np.uint64), 1)))
    masked.close()
    federation.unmask(masked)
    total = masked.finish().update
    assert (total == sum(noise.values())).all()
    # The sample variance of n draws has a relative deviation of √(2 / n): 2.2 %; four of them.
    assert total.var() == pytest.approx(5 * 50.0**2, rel=4 * np.sqrt(2 / size))
    assert abs(total.mean()) < 4 * np.sqrt(5) * 50 / np.sqrt(size)
    assert centred(np.array([2**32 - 1], np.uint32)).tolist() == [-1]
