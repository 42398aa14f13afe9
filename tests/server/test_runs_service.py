"""What the service knows of runs, asked without a wire (over it: ``tests/client/test_runs.py``)."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.callers import Callers, NotThereError
from server.membership import Membership
from server.runs_service import RunsService
from server.site import PLAN_FILE, CoordinatorSite
from shared.files import write_atomic
from shared.signed import make_plan, sign_plan
from tests.support.opened import make_coordinator


@pytest.fixture
def service(tmp_path: Path) -> RunsService:
    folder = make_coordinator(tmp_path / "coordinator")
    site = CoordinatorSite(folder)
    for run in ("done", "going"):
        site.store.start_run(run, site.config.canonical(), site.roster.digest)
    site.store.finish_run("done", "artifact")
    for run in ("done", "planned"):
        write_atomic(site.run_folder(run) / PLAN_FILE, sign_plan(make_plan(run, site.config, site.roster), site.identity).canonical())
    return RunsService(site, Callers(Membership(folder)))


def test_runs_are_summed_up(service: RunsService) -> None:
    assert {run.run: (run.status == "finished", run.has_artifact) for run in service._summaries()} == {
        "done": (True, True),
        "going": (False, False),
    }


def test_a_run_is_over_once_it_has_finished_and_not_before_it_begins(service: RunsService) -> None:
    assert service._over("done")
    assert not service._over("going")
    assert not service._over("planned")
    with pytest.raises(NotThereError, match="no run 'made-up'"):
        service._over("made-up")


def test_a_plan_is_the_runs_own(service: RunsService) -> None:
    assert service._plan("planned").plan.run == "planned"
    with pytest.raises(NotThereError, match="no plan of a run 'going'"):
        service._plan("going")
