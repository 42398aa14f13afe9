"""The ServerApp hands Flower's grid to the coordinator: the folder and the run's name come from the run's own configuration."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict

from client.app import make_app as make_client_app
from fedstill.simulation import LocalGrid
from server.app import log_event, make_app
from server.coordinator import RunResult
from server.events import Event, InstitutionRefused
from shared.errors import DeploymentError
from tests.support.small import SmallFederation, SmallToolbox, SmallWorkbench, digest_of, make_federation, undisturbed


def context(**config: str) -> Context:
    return Context(run_id=1, node_id=0, node_config={}, state=RecordDict(), run_config={**config})


def played(federation: SmallFederation, **config: str) -> tuple[list[Event], list[RunResult]]:
    events, results = list[Event](), list[RunResult]()
    app = make_app(on_event=events.append, on_result=results.append, toolbox=SmallToolbox(), poll_s=0.001)
    grid = LocalGrid(make_client_app(SmallWorkbench), federation.institutions)
    try:
        app(grid, context(**config))
    finally:
        grid.close()
    return events, results


def test_the_run_of_the_configuration_is_the_coordinator_s(tmp_path: Path) -> None:
    federation = make_federation(tmp_path, 3, rounds=1)
    events, (result,) = played(federation, **{"coordinator-dir": str(federation.coordinator), "run": "trial"})
    assert digest_of(result) == undisturbed(3, 1)
    assert result.run == "trial"
    assert events


@pytest.mark.parametrize("missing", ["coordinator-dir", "run"])
def test_a_run_that_something_else_started_is_refused(tmp_path: Path, missing: str) -> None:
    federation = make_federation(tmp_path, 3, rounds=1)
    config = {"coordinator-dir": str(federation.coordinator), "run": "trial"} | {missing: ""}
    with pytest.raises(DeploymentError, match=f"without {missing}; start it with 'fedstill coordinator run'"):
        played(federation, **config)
    assert not (federation.coordinator / "runs").exists()


def test_events_go_into_the_log_as_json(caplog: pytest.LogCaptureFixture) -> None:
    event = InstitutionRefused(number=3, institution="ash", stage="train", code="PolicyRefusal", reason="it said no")
    with caplog.at_level(logging.INFO, "fedstill.server"):
        log_event(event)
    (line,) = caplog.messages
    assert InstitutionRefused.model_validate_json(line) == event


def test_importing_it_needs_no_torch() -> None:
    program = f"import sys; sys.path[:0] = {sys.path!r}; import server.app; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", program], timeout=120, check=False).returncode == 0
