"""Asking a run to stop, and holding its lock."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from server.locking import run_lock
from server.stopping import Interrupted, StopSignal
from shared.errors import ResourceError, RunError


def test_a_run_goes_on_until_it_is_asked_to_stop() -> None:
    stop = StopSignal()
    stop.check()
    stop.wait(0.0)
    stop.set()
    with pytest.raises(Interrupted):
        stop.check()


def test_waiting_ends_as_soon_as_someone_asks() -> None:
    stop = StopSignal()
    threading.Timer(0.05, stop.set).start()
    with pytest.raises(KeyboardInterrupt):
        stop.wait(60.0)


def test_a_lock_is_held_once_and_given_back(tmp_path: Path) -> None:
    with run_lock(tmp_path / "trial", "trial"):
        with pytest.raises(RunError, match="'trial' is being run by another process"), run_lock(tmp_path / "trial", "trial"):
            pass
        with run_lock(tmp_path / "other", "other"):
            pass
    with run_lock(tmp_path / "trial", "trial"):
        pass


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot use"), run_lock(tmp_path / "file" / "trial", "trial"):
        pass
