from __future__ import annotations

import pytest

from benchmarks.edge_portable import SUBJECTS, Found, claims, measure
from shared.compress.cost.times import SAME_TIME
from shared.compress.devices import DEVICES


@pytest.fixture(scope="module")
def found() -> Found:
    return measure(SUBJECTS["digits_simulated"](), seed=1)


def test_the_small_student_of_a_simulation_is_slower_nowhere(found: Found) -> None:
    assert set(found.everywhere.speeds) == set(DEVICES) - {"portable"}
    assert min(found.everywhere.speeds.values()) >= 1 / (1 + SAME_TIME)
    assert found.everywhere.kb < found.float_kb


def test_the_slowest_device_alone_would_have_made_it_slower_elsewhere(found: Found) -> None:
    assert found.alone.speeds["cortex-a53"] > 1.0
    assert min(found.alone.speeds.values()) < 1 / (1 + SAME_TIME)


def test_every_figure_stands_beside_what_the_slowest_device_chose(found: Found) -> None:
    entries = {entry.name: entry for entry in claims("digits", [found, found])}
    assert entries["digits.least"].value == min(found.everywhere.speeds.values())
    assert entries["digits.least"].baseline == min(found.alone.speeds.values())
    assert entries["digits.here"].value == found.everywhere.here > 0
    assert entries["digits.int8"].baseline == found.alone.int8 > 0
    assert (entries["digits.kb"].value, entries["digits.kb"].baseline) == (found.everywhere.kb, found.float_kb)
