"""Ten minutes of killing at random: whatever is hit, whenever, the runs end, nothing is half-written, and the audits fit each other.

``FEDSTILL_FAULTS_MINUTES`` (default 10) and ``FEDSTILL_FAULTS_SEED`` (default 1) say how long and which blows.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import psutil
import pytest
from safetensors.numpy import load

from tests.support.deployed import Running
from tests.support.faults import (
    BOUND_S,
    INSTITUTIONS,
    MOST_STARTS,
    ROUNDS,
    Action,
    Component,
    Ground,
    blow,
    check_whole,
    find,
    ground,
    note,
)
from tests.support.small import undisturbed

MINUTES = float(os.environ.get("FEDSTILL_FAULTS_MINUTES", "10"))
SEED = int(os.environ.get("FEDSTILL_FAULTS_SEED", "1"))
pytestmark = [pytest.mark.e2e, pytest.mark.faults, pytest.mark.timeout(int(60 * MINUTES) + 1800)]

DEADLINE_S, HANG_S = 15.0, 18.0
"""Seconds: what hangs is absent in a round, and back afterwards."""
PAUSE_S = (0.5, 12.0)
"""Seconds between two blows: less than a process takes to come back, up to about as long as a round takes."""
AT_SITES = ("supernode", "worker")


class Storm:
    """Blows drawn from a seed until ``end``, on a coordinator and on institutions' services; ``struck`` counts them."""

    def __init__(self, here: Ground, end: float) -> None:
        self._here, self.end, self._random = here, end, random.Random(SEED)
        self.struck: Counter[str] = Counter()

    def over(self, running: Running) -> None:
        """Strikes for as long as a run is on and it is not over yet."""
        while running.process.poll() is None and time.monotonic() < self.end:
            time.sleep(self._random.uniform(*PAUSE_S))
            if self._random.random() < 0.1:
                self._lose_institution()
            else:
                self._strike(running)

    def _strike(self, running: Running) -> None:
        component: Component = self._random.choice(get_args(Component))
        action: Action = self._random.choice(get_args(Action))
        name = self._random.choice(sorted(self._here.services))
        found = find(self._here.services[name] if component in AT_SITES else running, component)
        if found and all(process.is_running() for process in found):
            self.struck[f"{component} {action}"] += 1
            blow(found, action, HANG_S)

    def _lose_institution(self) -> None:
        # As a power cut: the service and everything below it at once; an operator's service manager starts it again.
        name = self._random.choice(sorted(self._here.services))
        root = psutil.Process(self._here.services[name].process.pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._here.services[name].wait(30)
        self.struck["institution kill"] += 1
        self._here.begin(name)


def outlast(here: Ground, run: str, storm: Storm) -> None:
    """Plays a run through the storm, started again for as long as it ends without its artifact; once it is calm, in few starts."""
    calm = 0
    while calm < MOST_STARTS:
        with here.coordinator(run, *(("--resume",) if here.events(run) else ())) as running:
            storm.over(running)
            code = running.wait(BOUND_S)
        if code == 0:
            return
        calm += time.monotonic() >= storm.end
    raise AssertionError(f"the run did not end in {MOST_STARTS} starts once it was calm: {running.log.read_text()}")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Ground]:
    with ground(tmp_path, deadline_s=DEADLINE_S, most_void_rounds=1000) as made:
        for name in made.federation.institutions:
            made.begin(name)
        yield made


def test_whatever_is_hit_the_runs_end(here: Ground) -> None:
    end = time.monotonic() + 60 * MINUTES
    storm, runs = Storm(here, end), 0
    while runs == 0 or time.monotonic() < end:
        runs += 1
        run = f"storm-{runs}"
        outlast(here, run, storm)
        check_whole(here, run)
        events = here.events(run)
        missing = any(len(event["survivors"]) < INSTITUTIONS for event in events if event["kind"] == "round-closed")
        student = load((here.federation.coordinator / "runs" / run / "student.safetensors").read_bytes())["vector"]
        same = hashlib.sha256(student.tobytes()).hexdigest() == undisturbed(INSTITUTIONS, ROUNDS)
        assert same or missing or any(event["kind"] == "round-void" for event in events)
    note({"runs": runs, "minutes": MINUTES, "seed": SEED, "struck": dict(storm.struck)})
    assert storm.struck.total() > MINUTES, "the storm struck"
