"""What Flower's processes are started with: fresh secrets, no proxy on loopback, nothing from outside, and commands of this Python."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from shared.errors import DeploymentError
from shared.hosting import flower_environment, make_secret, script


def test_a_proxy_is_not_asked_for_loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "intranet")
    assert flower_environment(tmp_path)["NO_PROXY"] == "intranet,127.0.0.1,localhost"
    monkeypatch.delenv("NO_PROXY")
    assert flower_environment(tmp_path)["NO_PROXY"] == "127.0.0.1,localhost"


def test_secrets_are_fresh_and_private(tmp_path: Path) -> None:
    make_secret(tmp_path / "secret")
    first = (tmp_path / "secret").read_bytes()
    make_secret(tmp_path / "secret")
    assert len(first) == 32
    assert first != (tmp_path / "secret").read_bytes()
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_missing_command_is_named() -> None:
    assert Path(script("flower-superlink")).exists()
    with pytest.raises(DeploymentError, match="flower-nowhere"):
        script("flower-nowhere")


def test_commands_are_this_python_s_before_anybody_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside, elsewhere = tmp_path / "here", tmp_path / "there"
    for folder in (beside, elsewhere):
        folder.mkdir()
        (folder / "flower-x").write_text("#!/bin/sh\n")
        (folder / "flower-x").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(beside / "python"))
    monkeypatch.setenv("PATH", str(elsewhere))
    assert script("flower-x") == str(beside / "flower-x")
    assert flower_environment(tmp_path)["PATH"] == f"{beside}{os.pathsep}{elsewhere}"
    (beside / "flower-x").unlink()
    assert script("flower-x") == str(elsewhere / "flower-x")
    monkeypatch.delenv("PATH")
    assert flower_environment(tmp_path)["PATH"] == str(beside)


def test_nothing_is_asked_of_the_outside(tmp_path: Path) -> None:
    found = flower_environment(tmp_path)
    assert (found["FLWR_TELEMETRY_ENABLED"], found["FLWR_DISABLE_UPDATE_CHECK"]) == ("0", "1")
    assert found["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] == "1"
    assert found["PYTHONSAFEPATH"] == "1", "a module in the working folder is not taken for an installed one"
    assert Path(found["FLWR_HOME"]).parent == tmp_path
