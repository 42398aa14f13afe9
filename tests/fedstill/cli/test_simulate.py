"""``fedstill simulate`` hands its options to the plan, prints results alone on stdout, and lets Ctrl-C keep what is done."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

import pytest

from fedstill.cli import main
from fedstill.plan import ExperimentPlan
from tests.fedstill.report.test_report import SUMMARY


def run(arguments: list[str], capsys: pytest.CaptureFixture[str], **experiment: object) -> tuple[int, str, str, list[ExperimentPlan]]:
    with patch("fedstill.experiment.run_experiment", **(experiment or {"return_value": SUMMARY})) as played:  # type: ignore[call-overload]
        with pytest.raises(SystemExit) as caught:
            main(["simulate", *arguments])
        captured = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code, captured.out, captured.err, [call.args[0] for call in played.call_args_list]


def test_the_options_are_the_plan_s(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--institutions", "3", "--rounds", "2", "--seed", "9", "--drop", "1@1", "--no-baselines", "--out", str(tmp_path / "run")]
    code, out, _, (plan,) = run(given, capsys)
    assert (code, out) == (0, "")
    assert (plan.institutions, plan.federation.rounds, plan.federation.seed) == (3, 2, 9)
    assert (tuple(plan.drops), plan.baselines, plan.folder) == (("1@1",), False, tmp_path / "run")


def test_the_summary_is_all_that_stdout_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _, _ = run(["--data", "digits", "--json", "--out", str(tmp_path / "run")], capsys)
    assert (code, json.loads(out)) == (0, json.loads(SUMMARY.model_dump_json()))


def test_ctrl_c_has_its_own_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err, _ = run(["--out", str(tmp_path / "run")], capsys, side_effect=KeyboardInterrupt)
    assert (code, out) == (130, "")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--seed", "-1"], 10, "--seed"),
        (["--resume", "--out", "gone"], 60, "holds no run"),
        (["gone.toml"], 21, "gone.toml"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    found, out, err, plans = run(arguments, capsys)
    assert (found, out, plans) == (code, "", [])
    assert said in err
    assert not list(tmp_path.iterdir())
