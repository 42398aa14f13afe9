"""Some of the matrix in one deployed run, for every day: a worker killed at work, the proxy over an answer, SuperLink started anew."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from safetensors.numpy import load

from tests.support.deployed import Running
from tests.support.faults import INSTITUTIONS, ROUNDS, check_whole, ground, play, strike, wait_until
from tests.support.small import undisturbed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_three_blows_in_one_run_and_the_very_student(tmp_path: Path) -> None:
    with ground(tmp_path, deadline_s=120.0) as here:
        for name in here.federation.institutions:
            here.begin(name)

        def blows(running: Running) -> None:
            wait_until(here, "trial", "while-training", running)
            strike(here, running, "worker", "kill", 0.0)
            wait_until(here, "trial", "after-answer", running)
            strike(here, running, "proxy", "kill", 0.0)
            wait_until(here, "trial", "between-rounds", running)
            strike(here, running, "superlink", "restart", 0.0)

        outcome = play(here, "trial", blows)
        check_whole(here, "trial")
        assert (outcome.starts, outcome.void, outcome.missing) == (1, 0, 0), "each process came back by itself, and nobody was lost"
        vector = load((here.federation.coordinator / "runs" / "trial" / "student.safetensors").read_bytes())["vector"]
        assert hashlib.sha256(vector.tobytes()).hexdigest() == undisturbed(INSTITUTIONS, ROUNDS)
