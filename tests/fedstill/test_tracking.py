from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fedstill.tracking import RUN_TAG, Tracker, open_tracker
from server.events import ArtifactWritten, Event, PrivacyStated, RoundClosed, RoundVoid, RunFinished, RunStarted
from shared.errors import ConfigError

STARTED = RunStarted(run="heart-1", roster=("cl", "va"), rounds=2, resumed=False)
EVENTS: tuple[Event, ...] = (
    STARTED,
    PrivacyStated(epsilon=8.0, delta=1e-5, rounds=2),
    RoundVoid(number=3, phase="train", reason="too few", absent=("va",)),
    RoundClosed(number=4, phase="train", survivors=("cl", "va"), metrics={"accuracy": 0.5}, seconds={"train": 1.5}),
    ArtifactWritten(path="runs/heart-1/artifact"),
    RunFinished(run="heart-1", artifact="runs/heart-1/artifact"),
)


@dataclass
class Server:
    """What of MLflow's client is used, in memory."""

    runs: dict[str, str] = field(default_factory=dict)
    logged: list[tuple[str, str, float, int]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    made: bool = False

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id="1") if self.made else None

    def create_experiment(self, name: str) -> str:
        self.made = True
        return "1"

    def create_run(self, experiment: str, tags: dict[str, str], run_name: str) -> Any:
        self.runs[tags[RUN_TAG]] = f"id-{len(self.runs)}"
        return SimpleNamespace(info=SimpleNamespace(run_id=self.runs[run_name]))

    def search_runs(self, experiments: list[str], query: str, max_results: int) -> list[Any]:
        return [SimpleNamespace(info=SimpleNamespace(run_id=number)) for run, number in self.runs.items() if f"'{run}'" in query]

    def log_metric(self, run: str, name: str, value: float, step: int) -> None:
        self.logged.append((run, name, value, step))

    def log_param(self, run: str, name: str, value: object) -> None:
        pass

    def set_tag(self, run: str, name: str, value: str) -> None:
        pass

    def set_terminated(self, run: str) -> None:
        self.ended.append(run)


def test_a_run_s_sums_are_logged_by_round() -> None:
    server, said = Server(), list[str]()
    tracker = Tracker(server, said.append)
    for event in EVENTS:
        tracker(event)
    assert said == []
    assert ("id-0", "accuracy", 0.5, 4) in server.logged
    assert ("id-0", "seconds_train", 1.5, 4) in server.logged
    assert ("id-0", "void", 1.0, 3) in server.logged
    assert ("id-0", "epsilon", 8.0, 0) in server.logged
    assert server.ended == ["id-0"]


def test_a_run_that_goes_on_is_the_same_run_there() -> None:
    server = Server()
    for _ in range(2):
        Tracker(server, print)(STARTED)
    assert server.runs == {"heart-1": "id-0"}


def test_a_server_that_fails_is_said_once_and_nothing_else_happens() -> None:
    class Broken(Server):
        def log_metric(self, run: str, name: str, value: float, step: int) -> None:
            raise ConnectionError("http://user:secret@server")

    said: list[str] = []
    tracker = Tracker(Broken(), said.append)
    for event in EVENTS:
        tracker(event)
    assert said == ["MLflow cannot be used (ConnectionError); the run goes on without it"]


def test_what_comes_before_a_run_is_nobody_s() -> None:
    server = Server()
    Tracker(server, print)(EVENTS[3])
    assert server.logged == []


def test_without_mlflow_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ConfigError, match="not installed"):
        open_tracker("http://localhost:5000", print)


@pytest.mark.filterwarnings("ignore")
def test_the_real_one_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    said: list[str] = []
    tracker = open_tracker(tmp_path.as_uri(), said.append)
    for event in EVENTS:
        tracker(event)
    assert said == []
    client = mlflow.MlflowClient(tracking_uri=tmp_path.as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("fedstill").experiment_id])
    assert run.data.metrics["accuracy"] == 0.5
    assert run.info.status == "FINISHED"
