"""Some of the matrix in one deployed run, for every day: a worker killed at work, the proxy over an answer, SuperLink started anew."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import httpx
import pytest
from safetensors.numpy import load

from shared.processes import free_port
from tests.support.deployed import Running
from tests.support.faults import INSTITUTIONS, ROUNDS, VICTIM, check_whole, ground, play, strike, wait_until
from tests.support.small import undisturbed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def scraped(port: int) -> str:
    """What a service on this machine says that it counts."""
    return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60, trust_env=False).text


def test_three_blows_in_one_run_and_the_very_student(tmp_path: Path) -> None:
    counted: dict[str, str] = {}
    with ground(tmp_path, deadline_s=120.0) as here:
        ours, theirs = free_port(), free_port()
        for name in here.federation.institutions:
            here.begin(name, *(("--metrics-port", str(theirs)) if name == VICTIM else ()))

        def blows(running: Running) -> None:
            wait_until(here, "trial", "while-training", running)
            strike(here, running, "worker", "kill", 0.0)
            wait_until(here, "trial", "after-answer", running)
            strike(here, running, "proxy", "kill", 0.0)
            wait_until(here, "trial", "between-rounds", running)
            counted.update(ours=scraped(ours), theirs=scraped(theirs))
            strike(here, running, "superlink", "restart", 0.0)

        outcome = play(here, "trial", blows, "--metrics-port", str(ours), "--log-json")
        check_whole(here, "trial")
        assert 'fedstill_rounds_total{phase="train",run="trial",status="closed"} 1.0' in counted["ours"]
        assert 'fedstill_rounds_agreed_total{work="train"}' in counted["theirs"]
        assert json.loads(next(here.logs.glob("coordinator-run-*.log")).read_text().splitlines()[-1])["message"] == "run-finished"
        assert (outcome.starts, outcome.missing) == (1, 0), "each process came back by itself, and nobody was lost"
        # The proxy may end while SuperLink's word that it has an answer is on its way: Flower then takes the answer no second time, and
        # the round is void (docs/results/faults.md).
        assert outcome.void <= 1
        vector = load((here.federation.coordinator / "runs" / "trial" / "student.safetensors").read_bytes())["vector"]
        assert outcome.void or hashlib.sha256(vector.tobytes()).hexdigest() == undisturbed(INSTITUTIONS, ROUNDS)
