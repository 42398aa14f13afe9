"""``fedstill simulate`` as its user runs it: killed, interrupted, resumed, with institutions vanishing; always the same student."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.e2e

ROUNDS = 5
HEAD = f"""
name = "trial"
rounds = {ROUNDS}
teacher = {{width = 16, depth = 1, heads = 2}}
student = {{width = 4, depth = 1, heads = 1}}
teacher_training = {{epochs = 2}}
training = {{epochs = 2}}
[compression]
max_drop = 0.2
[data]
source = "csv"
path = "rows.csv"
site_column = "site"
[task]
family = "tabular"
label = "ill"
labels = ["no", "yes"]
columns = [{{name = "age"}}, {{name = "pressure"}}, {{name = "smokes", kind = "categorical", categories = ["never", "often"]}}]
"""


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five sites of 60 records each, with a rule to learn and cells missing."""
    folder = tmp_path_factory.mktemp("federation")
    rng = np.random.default_rng(3)
    lines = ["site,age,pressure,smokes,ill"]
    for number in range(300):
        age, pressure = rng.uniform(30, 80), rng.uniform(100, 180)
        ill = "yes" if age + pressure / 2 + rng.normal(0, 5) > 125 else "no"
        lines.append(f"site-{number % 5},{age:.1f},{'' if number % 7 == 0 else f'{pressure:.0f}'},{('never', 'often')[number % 2]},{ill}")
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    (folder / "federation.toml").write_text(HEAD)
    return folder / "federation.toml"


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "fedstill", "simulate", *map(str, arguments), "--json"]


def finish(arguments: Sequence[str]) -> tuple[dict[str, object], str]:
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def student(out: Path) -> bytes:
    (path,) = (out / "coordinator" / "runs").glob("*/student.safetensors")
    return path.read_bytes()


@pytest.fixture(scope="module")
def undisturbed(federation: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    summary, _ = finish(command(federation, "--no-baselines", "--out", out))
    assert summary["rounds"] == {"planned": ROUNDS, "closed": ROUNDS, "void": 0}
    return out


def start_until(pattern: str, arguments: Sequence[str], out: Path) -> subprocess.Popen[bytes]:
    """A simulation in whose run's folder a file of this pattern has just appeared."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    end = time.monotonic() + 120
    while not list((out / "coordinator" / "runs").glob(f"*/{pattern}")):
        if process.poll() is not None:
            pytest.fail(f"the simulation ended before it could be disturbed: {process.communicate()[1].decode()}")
        assert time.monotonic() < end, "the simulation closed no round"
        time.sleep(0.01)
    return process


def start_until_round(federation: Path, out: Path, version: int) -> subprocess.Popen[bytes]:
    """A simulation that has just closed its training round ``version``."""
    return start_until(f"student-v*{version}.safetensors", command(federation, "--no-baselines", "--out", out), out)


def test_killed_in_the_middle_it_goes_on_to_the_same_student(federation: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start_until_round(federation, out, 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert not (out / "artifact").exists()
    summary, said = finish(command("--resume", "--out", out))
    assert "going on with run" in said
    assert summary["rounds"] == {"planned": ROUNDS, "closed": ROUNDS, "void": 0}
    assert student(out) == student(undisturbed)


def test_ctrl_c_ends_cleanly_says_how_to_go_on_and_does(federation: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start_until_round(federation, out, 2)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said.decode()
    assert f"--resume --out {out}" in " ".join(said.decode().split())
    assert "Traceback" not in said.decode()
    finish(command("--resume", "--out", out))
    assert student(out) == student(undisturbed)


def test_one_lost_is_said_and_two_lost_of_five_void_the_round(federation: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    summary, said = finish(command(federation, "--no-baselines", "--out", out, "--drop", "1@2", "--drop", "2@3"))
    assert summary["rounds"] == {"planned": ROUNDS, "closed": ROUNDS, "void": 1}
    notes = " ".join(map(str, summary["notes"]))  # type: ignore[call-overload]
    assert "vanished in training round 2" in notes
    assert "training round 3 was void" in notes
    assert "is void" in said


def test_a_run_s_folder_is_not_overwritten(federation: Path, undisturbed: Path) -> None:
    done = subprocess.run(command(federation, "--out", undisturbed), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 60
    assert "go on with it by --resume" in done.stderr


def test_a_finished_run_resumed_only_reports_again(undisturbed: Path) -> None:
    before = student(undisturbed)
    summary, _ = finish(command("--resume", "--out", undisturbed))
    assert student(undisturbed) == before
    assert summary["artifact"] == str(undisturbed / "artifact")


ANSWERS = """
[proxy]
source = "generated"
records = 60
epochs = 40
[students.site-1]
width = 8
depth = 2
heads = 2
"""


def test_students_of_two_shapes_answer_and_one_signed_student_learns_from_it_killed_or_not(federation: Path, tmp_path: Path) -> None:
    config = federation.parent / "answers.toml"
    config.write_text(HEAD.replace("epochs = 2", "epochs = 8, learning_rate = 0.01") + ANSWERS)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    summary, said = finish(command(config, "--no-baselines", "--out", whole))
    assert summary["answers"] is True
    assert "of their own students" in " ".join(said.split())
    history = {entry["phase"]: entry["accuracy"] for entry in summary["history"]}  # type: ignore[attr-defined]
    assert history["train"] > 0.6
    assert history["calibrate-range"] > 0.6
    sent = np.mean(list(summary["bytes_up_per_round"].values()))  # type: ignore[attr-defined]
    assert summary["bytes_up_per_parameter"] == pytest.approx(sent / (60 * 2)), "120 logits, counters, shares and headers"
    states = {site: whole / "institutions" / f"site-{site}" / "state" / f"own-student-v{ROUNDS:05d}.safetensors" for site in (0, 1)}
    assert states[1].stat().st_size > states[0].stat().st_size
    verified = subprocess.run(
        [sys.executable, "-m", "fedstill", "artifact", "verify", str(whole / "artifact")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert verified.returncode == 0, verified.stderr
    assert "exchanged answers, no weights" in (whole / "artifact" / "card.md").read_text()
    process = start_until("consensus-v00002.safetensors", command(config, "--no-baselines", "--out", broken), broken)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert not (broken / "artifact").exists()
    finish(command("--resume", "--out", broken))
    assert student(broken) == student(whole)
