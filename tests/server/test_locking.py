"""One holder a run: a second one is refused, and a holder that dies, however it dies, holds it no longer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from server.locking import run_lock
from shared.errors import ResourceError, RunError

HOLDER = """
import sys, time
from pathlib import Path
from server.locking import run_lock
with run_lock(Path(sys.argv[1]), "trial"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_holder_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    with run_lock(tmp_path / "new" / "run", "trial"):
        with pytest.raises(RunError, match="run 'trial' is being run by another process"), run_lock(tmp_path / "new" / "run", "trial"):
            pytest.fail("two hold it")
        with run_lock(tmp_path / "other", "other"):
            pass
    with run_lock(tmp_path / "new" / "run", "trial"):
        pass


def test_an_error_inside_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), run_lock(tmp_path, "trial"):
        raise ZeroDivisionError
    with run_lock(tmp_path, "trial"):
        pass


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    script = f"import sys; sys.path[:0] = {sys.path!r}\n{HOLDER}"
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunError), run_lock(tmp_path, "trial"):
            pytest.fail("two hold it")
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with run_lock(tmp_path, "trial"):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match=r"cannot use .*check the disk"), run_lock(tmp_path / "file" / "run", "trial"):
        pytest.fail("it was held")
