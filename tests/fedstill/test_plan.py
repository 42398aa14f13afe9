"""A simulation's plan is settled once and read again as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedstill.plan import PLAN_FILE, ExperimentPlan, keep_plan, latest_run, plan_experiment, read_plan
from shared.errors import ConfigError, RunError


def kept(out: Path) -> ExperimentPlan:
    plan = make(out)
    keep_plan(plan)
    return plan


def make(out: Path | None, **changes: object) -> ExperimentPlan:
    given: dict[str, object] = {"data": "digits", "institutions": None, "rounds": 3, "seed": 5, "drops": ["1@2"], "resume": False}
    return plan_experiment(None, out=out, baselines=True, **{**given, **changes})  # type: ignore[arg-type]


def test_what_was_asked_for_is_read_again_wherever_the_folder_lies(tmp_path: Path) -> None:
    plan = kept(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    again = read_plan(tmp_path / "b")
    assert again == plan.model_copy(update={"folder": tmp_path / "b"})
    assert (again.federation.rounds, again.federation.seed, again.drops) == (3, 5, ("1@2",))


def test_resume_takes_the_plan_and_not_the_options(tmp_path: Path) -> None:
    plan = kept(tmp_path / "a")
    assert make(tmp_path / "a", resume=True, rounds=99, seed=1) == plan


def test_planning_alone_takes_no_folder(tmp_path: Path) -> None:
    assert make(tmp_path / "a") == make(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_the_last_round_is_one_that_can_be_dropped_from(tmp_path: Path) -> None:
    assert make(tmp_path / "a", drops=["1@3"]).drops == ("1@3",)


def test_a_folder_with_a_run_is_not_started_again(tmp_path: Path) -> None:
    kept(tmp_path / "a")
    with pytest.raises(RunError, match="go on with it by --resume"):
        make(tmp_path / "a")


def test_a_damaged_plan_is_said_to_be_so(tmp_path: Path) -> None:
    kept(tmp_path / "a")
    (tmp_path / "a" / PLAN_FILE).write_text("{}")
    with pytest.raises(RunError, match="is damaged"):
        read_plan(tmp_path / "a")


def test_the_latest_run_is_the_one_whose_plan_is_newest(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no run under"):
        latest_run(tmp_path)
    for name in ("b", "a"):
        kept(tmp_path / name)
    assert latest_run(tmp_path) == tmp_path / "a"


def test_more_institutions_of_a_dealt_pool_are_dealt_anew(tmp_path: Path) -> None:
    assert make(tmp_path / "a", institutions=7).institutions == 7


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rounds": 0}, "--rounds"),
        ({"drops": ["x"]}, "--drop x"),
        ({"data": "no"}, "--data no"),
        ({"institutions": 1}, "a federation of 1 is too small: .* at least 3"),
        ({"institutions": 2}, "a federation of 2 is too small: .* at least 3"),
        ({"drops": ["1@2", "1@99"]}, "--drop 1@99: the run has 3 training rounds"),
        ({"drops": ["site-1@4"]}, "--drop site-1@4: the run has 3 training rounds"),
    ],
)
def test_what_cannot_be_used_leaves_no_folder(tmp_path: Path, changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make(tmp_path / "a", **changes)
    assert not (tmp_path / "a").exists()
