"""The parts of a simulation that make it one that can be stopped and gone on with: folders, hand-over, Ctrl-C, kept baselines."""

from __future__ import annotations

import io
import signal
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import cast
from unittest.mock import MagicMock, patch

import numpy as np
import pytest
from rich.console import Console

from fedstill import experiment
from fedstill.experiment import make_workspace, run_experiment
from fedstill.plan import ExperimentPlan, keep_plan, read_plan
from fedstill.progress import Bar, progress_bar
from fedstill.report import ModelFigures
from server.stopping import StopSignal
from shared.config import FederationConfig
from shared.errors import ConfigError, FedstillError, MissingFileError
from tests.support.small import federation_table

FIGURES = ModelFigures(accuracy={"north": 0.5}, overall=0.5, mean=0.5)


def plan(folder: Path, institutions: int | None = None) -> ExperimentPlan:
    ages = np.random.default_rng(1).uniform(30, 80, 120)
    lines = (f"{site},{age:.1f},5,{'yes' if age > 55 else 'no'}\n" for site, age in zip(("north", "south", "west") * 40, ages, strict=True))
    (folder / "rows.csv").write_text("site,age,dose,ill\n" + "".join(lines))
    data = {"source": "csv", "path": str(folder / "rows.csv"), "site_column": "site"}
    config = FederationConfig.model_validate(federation_table(2, data=data))
    return ExperimentPlan(run="small-1", folder=folder / "run", federation=config, institutions=institutions)


def test_a_workspace_is_made_once_and_then_found(tmp_path: Path) -> None:
    made = make_workspace(plan(tmp_path))
    assert list(made.institutions) == ["north", "south", "west"]
    keys = {name: (home / "keys" / "identity.key").read_bytes() for name, home in made.institutions.items()}
    (tmp_path / "rows.csv").unlink()
    again = make_workspace(ExperimentPlan(run="small-1", folder=tmp_path / "run", federation=plan(tmp_path).federation))
    assert again == made
    assert {name: (home / "keys" / "identity.key").read_bytes() for name, home in again.institutions.items()} == keys


@pytest.mark.parametrize("count", [3, 4, 5])
def test_as_many_institutions_as_are_asked_for(tmp_path: Path, count: int) -> None:
    assert len(make_workspace(plan(tmp_path, count)).institutions) == count


@pytest.mark.parametrize(
    ("institutions", "drop", "sentence"),
    [
        (2, "1@1", "a federation of 2 is too small"),
        (3, "4@1", "there are only 3 institutions"),
        (None, "nort@1", "no such institution; there are north, south, west"),
    ],
)
def test_what_the_records_do_not_allow_leaves_the_folder_free(tmp_path: Path, institutions: int | None, drop: str, sentence: str) -> None:
    wanted = plan(tmp_path, institutions).model_copy(update={"drops": (drop,)})
    with pytest.raises(ConfigError, match=sentence):
        make_workspace(wanted)
    assert not wanted.folder.exists()


def test_the_plan_is_kept_with_the_workspace(tmp_path: Path) -> None:
    wanted = plan(tmp_path)
    make_workspace(wanted)
    assert read_plan(wanted.folder) == wanted


def test_records_that_do_not_load_leave_no_workspace(tmp_path: Path) -> None:
    wanted = plan(tmp_path)
    (tmp_path / "rows.csv").unlink()
    with pytest.raises(MissingFileError):
        make_workspace(wanted)
    assert not wanted.folder.exists()


def test_the_artifact_is_handed_over_whole_and_once(tmp_path: Path) -> None:
    (tmp_path / "signed").mkdir()
    (tmp_path / "signed" / "model.onnx").write_bytes(b"one")
    # What a killed process left of an earlier attempt.
    (tmp_path / ".artifact").mkdir()
    (tmp_path / ".artifact" / "half").write_bytes(b"x")
    target = experiment._hand_over(tmp_path / "signed", tmp_path / "artifact")
    assert [path.name for path in target.iterdir()] == ["model.onnx"]
    (tmp_path / "signed" / "model.onnx").write_bytes(b"two")
    assert (experiment._hand_over(tmp_path / "signed", target) / "model.onnx").read_bytes() == b"one"


def test_the_first_ctrl_c_asks_and_the_second_ends() -> None:
    stop, text, before = MagicMock(spec=StopSignal), io.StringIO(), signal.getsignal(signal.SIGINT)
    with progress_bar(Console(file=text), 1) as bar, experiment._interruptible(stop, bar):
        signal.raise_signal(signal.SIGINT)
        stop.set.assert_called_once_with()
        assert "once more to stop at once" in text.getvalue()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_stopped_before_anything_is_kept_it_promises_nothing(tmp_path: Path) -> None:
    text = io.StringIO()
    with patch("fedstill.experiment.make_workspace", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        run_experiment(plan(tmp_path), Console(file=text))
    assert not text.getvalue()


def test_stopped_it_says_how_to_go_on_and_an_error_does_not(tmp_path: Path) -> None:
    keep_plan(plan(tmp_path))
    for error, said in ((KeyboardInterrupt(), True), (FedstillError("it failed"), False)):
        text = io.StringIO()
        with patch("fedstill.experiment.make_workspace", side_effect=error), pytest.raises(type(error)):
            run_experiment(plan(tmp_path), Console(file=text))
        assert (f"fedstill simulate --resume --out {tmp_path / 'run'}" in text.getvalue()) is said


def test_a_baseline_s_figures_are_kept_and_not_made_again(tmp_path: Path) -> None:
    pool, path, future = MagicMock(), tmp_path / "baselines" / "local.json", Future[str]()
    future.set_result(FIGURES.model_dump_json())
    pool.submit.return_value = future
    unit = MagicMock()
    collect = experiment._kept(cast(ProcessPoolExecutor, pool), unit, plan(tmp_path), {}, path)
    assert not path.exists(), "kept once they are there"
    assert collect() == FIGURES
    assert experiment._kept(cast(ProcessPoolExecutor, pool), unit, plan(tmp_path), {}, path)() == FIGURES
    assert pool.submit.call_count == 1


def test_without_baselines_nothing_is_started(tmp_path: Path) -> None:
    pool, wanted = MagicMock(), plan(tmp_path).model_copy(update={"baselines": False})
    assert experiment._start_baselines(cast(ProcessPoolExecutor, pool), wanted, make_workspace(wanted)) == {}
    assert not pool.submit.called


def test_each_teacher_is_told_when_it_is_fitted(tmp_path: Path) -> None:
    pool, text, wanted = MagicMock(), io.StringIO(), plan(tmp_path)
    futures = [Future[float]() for _ in range(3)]
    for future, accuracy in zip(futures, (0.5, 0.75, 1.0), strict=True):
        future.set_result(accuracy)
    pool.submit.side_effect = futures
    experiment._fit_teachers(cast(ProcessPoolExecutor, pool), wanted, make_workspace(wanted), Bar(Console(file=text), None, 3))
    assert sorted(text.getvalue().splitlines()) == [
        f"teacher of {name}: held-out accuracy {accuracy}" for name, accuracy in (("north", "0.500"), ("south", "0.750"), ("west", "1.000"))
    ]
