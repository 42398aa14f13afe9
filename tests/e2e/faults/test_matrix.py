"""Every process killed, stopped and restarted at every point of a round: the run ends, and ends with the student that it should."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from typing import get_args

import pytest
from safetensors.numpy import load

from tests.support.deployed import Running, wait_for
from tests.support.faults import (
    Action,
    Component,
    Ground,
    Point,
    check_whole,
    ground,
    note,
    play,
    strike,
    wait_until,
)
from tests.support.small import undisturbed

pytestmark = [pytest.mark.e2e, pytest.mark.faults, pytest.mark.timeout(900)]

DEADLINES_S: dict[Action, float] = {"kill": 60.0, "hang": 10.0, "restart": 60.0}
"""A round's deadline: a process that was ended comes back within it, one that hangs does not."""
HANG_S = DEADLINES_S["hang"] + 3.0
CELLS = [(component, action, point) for component in get_args(Component) for action in get_args(Action) for point in get_args(Point)]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(tmp_path_factory.mktemp("faults")) as made:
        for name in made.federation.institutions:
            made.begin(name)
        yield made


@pytest.mark.parametrize(("component", "action", "point"), CELLS, ids=["-".join(cell) for cell in CELLS])
def test_a_run_survives(component: Component, action: Action, point: Point, here: Ground) -> None:
    run = f"{component}-{action}-{point}"
    here.set_deadline(DEADLINES_S[action])

    def blow(running: Running) -> None:
        wait_until(here, run, point, running)
        strike(here, running, component, action, HANG_S)

    outcome = play(here, run, blow)
    check_whole(here, run)
    student = load((here.federation.coordinator / "runs" / run / "student.safetensors").read_bytes())["vector"]
    same = hashlib.sha256(student.tobytes()).hexdigest() == undisturbed(len(here.federation.institutions), 2)
    note({"component": component, "action": action, "point": point, "same": same, **asdict(outcome)})
    assert same or outcome.void or outcome.missing, "the same institutions survived, so the student is the undisturbed one"
    wait_for(lambda: all(service.process.poll() is None for service in here.services.values()), "the institutions' services")
