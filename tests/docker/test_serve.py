"""What a coordinator's container does when a run ends, fails, was finished before, or is to stop: with a ``fedstill`` that only notes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docker" / "serve.sh"


class Container:
    """A folder in which ``fedstill`` is a script: its words go to ``said``, and a run does what ``run`` tells the shell."""

    def __init__(self, folder: Path, run: str) -> None:
        self.folder, self.said = folder, folder / "said"
        program = folder / "fedstill"
        program.write_text(f'#!/bin/sh\necho "$2" >>{self.said}\n[ "$2" = open ] && exit 0\n{run}\n')
        program.chmod(0o755)

    def start(self, run: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PATH": f"{self.folder}:/usr/bin:/bin", "DATA": str(self.folder), "RUN": run}
        return subprocess.Popen(["sh", SCRIPT], env=environment)

    def serve(self, run: str = "heart") -> tuple[int, list[str]]:
        with self.start(run) as process:
            return process.wait(30), self.said.read_text().split()


@pytest.mark.parametrize(("run", "code", "said"), [("exit 0", 0, ["run", "open"]), ("exit 60", 60, ["run"]), ("exit 90", 90, ["run"])])
def test_the_door_opens_after_a_run_that_ended_well(tmp_path: Path, run: str, code: int, said: list[str]) -> None:
    assert Container(tmp_path, run).serve() == (code, said)


def test_a_run_that_was_finished_before_is_followed_by_the_door(tmp_path: Path) -> None:
    (tmp_path / "runs" / "heart" / "artifact").mkdir(parents=True)
    assert Container(tmp_path, "exit 60").serve() == (0, ["run", "open"])
    assert Container(tmp_path, "exit 90").serve()[0] == 90


def test_without_a_run_there_is_the_door_alone(tmp_path: Path) -> None:
    assert Container(tmp_path, "exit 1").serve("") == (0, ["open"])


def test_a_stop_is_handed_on_and_waited_for(tmp_path: Path) -> None:
    container = Container(
        tmp_path, f"trap 'echo ended >>{tmp_path}/said; exit 130' TERM\necho ready >>{tmp_path}/said\nwhile :; do sleep 0.05; done"
    )
    with container.start("heart") as process:
        end = time.monotonic() + 30
        while not (container.said.exists() and "ready" in container.said.read_text()):
            assert time.monotonic() < end
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 130
    assert container.said.read_text().split() == ["run", "ready", "ended"]
