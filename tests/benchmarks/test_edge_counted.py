from __future__ import annotations

import pytest

from benchmarks.arm import LINE, Counts
from benchmarks.edge_counted import A_CYCLE, Counted, claims, row, with_misses
from benchmarks.edge_predictor import Subject
from shared.compress.devices import DEVICES
from shared.data.heart import TASK

PROFILE = DEVICES["cortex-a72"]


def found(name, precision, predicted, instructions, misses=(0.0, 0.0)):
    return Counted(Subject("tabular", name, precision, b"", TASK), predicted, Counts(instructions, misses))


def test_seconds_are_instructions_and_the_lines_that_each_level_fetches() -> None:
    cycles = A_CYCLE * PROFILE.clock.value
    assert with_misses(Counts(3e6, (0, 0)), PROFILE) == pytest.approx(3e6 / cycles)
    expected = 3e6 / cycles + LINE * (50 / PROFILE.caches[1].bandwidth.value + 7 / PROFILE.memory_bandwidth.value)
    assert with_misses(Counts(3e6, (50, 7)), PROFILE) == pytest.approx(expected)


def test_misses_can_turn_what_instructions_say() -> None:
    """INT8 executes more and fetches less: the model is right by the one, wrong by the other."""
    nets = [
        found("small", "float", 2e-3, 1e6, (40_000, 20_000)),
        found("small", "INT8", 1e-3, 1.2e6, (10_000, 5_000)),
        found("large", "float", 4e-3, 3e6, (80_000, 40_000)),
        found("large", "INT8", 3e-3, 2e6, (20_000, 10_000)),
    ]
    values = {claim.name: claim.value for claim in claims("cortex-a72", nets)}
    assert values["cortex-a72.graphs"] == 4
    assert (values["cortex-a72.faster_int8"], values["cortex-a72.with_misses.faster_int8"]) == (0.5, 1.0)
    assert values["cortex-a72.rank.all"] == pytest.approx(0.8)
    assert values["cortex-a72.rank.misses"] == pytest.approx(0.8)


def test_a_row_has_every_count() -> None:
    assert row(found("small", "INT8", 1.5e-3, 2.5e6, (1234, 56))) == "| tabular | small | INT8 | 1.500 | 2.500 | 1.23 | 0.06 |"
