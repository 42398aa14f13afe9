"""The script that tries docker-compose.yml: without an engine it says so loudly, and that is neither success nor failure."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parent / "compose.sh"
NOT_TRIED = 77


def run(tmp_path: Path, docker: str) -> subprocess.CompletedProcess[str]:
    """The script with a ``docker`` in its path that is this shell script."""
    (tmp_path / "docker").write_text(f"#!/bin/sh\n{docker}\n")
    (tmp_path / "docker").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    return subprocess.run([str(SCRIPT)], capture_output=True, text=True, timeout=60, env=environment, check=False)


def test_without_an_engine_it_says_loudly_that_nothing_was_tried(tmp_path: Path) -> None:
    done = run(tmp_path, "exit 1")
    assert done.returncode == NOT_TRIED
    assert "NO DOCKER ENGINE HERE: docker-compose.yml WAS NOT TRIED" in done.stderr
    assert "it works" not in done.stdout


def test_what_fails_is_said_and_everything_is_taken_down(tmp_path: Path) -> None:
    called = tmp_path / "called"
    done = run(tmp_path, f'echo "$@" >>{called}\ncase "$*" in *" build"*) exit 1;; esac')
    assert done.returncode == 1
    assert "FAILED" in done.stderr
    last = called.read_text().splitlines()[-1]
    assert last.endswith("down --volumes --timeout 10")


def test_it_is_a_bash_script_without_a_fault_of_syntax() -> None:
    assert subprocess.run(["bash", "-n", str(SCRIPT)], check=False).returncode == 0
    assert os.access(SCRIPT, os.X_OK)
