"""A service says how it is; silence is taken for death."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shared.errors import DeploymentError
from shared.service import FRESH_S, read_status, write_status


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_status(tmp_path / "status.json", "coordinator", "running", run="heart-1", online=("va",), ports={"gateway": 8443})
    status = read_status(tmp_path / "status.json")
    assert (status.state, status.run, status.online) == ("running", "heart-1", ("va",))
    assert (status.ports, status.pid) == ({"gateway": 8443}, os.getpid())


def test_silence_is_death_unless_the_work_is_done(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    write_status(path, "coordinator", "running")
    later = read_status(path).written + FRESH_S + 1
    with pytest.raises(DeploymentError, match="said nothing"):
        read_status(path, now=later)
    write_status(path, "coordinator", "finished")
    assert read_status(path, now=later).state == "finished"


@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_no_service(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "status.json").write_bytes(content)
    with pytest.raises(DeploymentError, match="start it"):
        read_status(tmp_path / "status.json")
