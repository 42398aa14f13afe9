"""A run's figures in MLflow, where one is installed and asked for by URL. Only sums over a cohort go there, as everywhere.

A tracking server that cannot be reached, or fails, does not touch the run: it is said once, and the run goes on without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from server.events import ArtifactWritten, BudgetSpent, Event, PrivacyStated, RoundClosed, RoundVoid, RunFinished, RunStarted
from shared.errors import ConfigError

EXPERIMENT = "fedstill"
RUN_TAG = "fedstill.run"
"""Tag of an MLflow run that names fedstill's: a run that goes on is found by it."""


class Tracker:
    """Gives a run's events to MLflow; make one for each run that is followed."""

    def __init__(self, client: Any, say: Callable[[str], None]) -> None:
        """``client`` is an ``mlflow.MlflowClient`` (:func:`open_tracker`)."""
        self._client = client
        self._say = say
        self._run: str | None = None
        self._lost = False

    def __call__(self, event: Event) -> None:
        """Logs what there is to log of an event."""
        if self._lost:
            return
        try:
            self._track(event)
        except Exception as error:
            # MLflow raises what its transports raise; none of it may end a run.
            self._lost = True
            self._say(f"MLflow cannot be used ({type(error).__name__}); the run goes on without it")

    def _track(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._run = self._find(event.run) or self._make(event)
        if self._run is None:
            return
        match event:
            case RoundClosed():
                seconds = {f"seconds_{stage}": value for stage, value in event.seconds.items()}
                self._log(event.number, event.metrics | seconds | {"survivors": float(len(event.survivors))})
            case RoundVoid():
                self._log(event.number, {"void": 1.0, "absent": float(len(event.absent))})
            case PrivacyStated() | BudgetSpent():
                self._log(0, {"epsilon": event.epsilon, "delta": event.delta})
            case ArtifactWritten():
                self._client.set_tag(self._run, "fedstill.artifact", event.path)
            case RunFinished():
                self._client.set_terminated(self._run)
            case _:
                pass

    def _log(self, step: int, figures: dict[str, float]) -> None:
        for name, value in sorted(figures.items()):
            self._client.log_metric(self._run, name, value, step=step)

    def _find(self, run: str) -> str | None:
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return None
        found = self._client.search_runs([experiment.experiment_id], f"tags.`{RUN_TAG}` = '{run}'", max_results=1)
        return str(found[0].info.run_id) if found else None

    def _make(self, event: RunStarted) -> str:
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        number = experiment.experiment_id if experiment is not None else self._client.create_experiment(EXPERIMENT)
        made = self._client.create_run(number, tags={RUN_TAG: event.run}, run_name=event.run)
        self._client.log_param(made.info.run_id, "rounds", event.rounds)
        self._client.log_param(made.info.run_id, "institutions", len(event.roster))
        return str(made.info.run_id)


def open_tracker(url: str, say: Callable[[str], None]) -> Tracker:
    """A tracker for the server at ``url``; raises :class:`ConfigError` where MLflow is not installed or does not take the URL."""
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise ConfigError("MLflow is not installed; leave out --mlflow, or: pip install 'fedstill[mlflow]'") from error
    try:
        return Tracker(MlflowClient(tracking_uri=url), say)
    except Exception as error:
        raise ConfigError(f"--mlflow {url} cannot be used: {type(error).__name__}; give a URL such as http://localhost:5000") from error
