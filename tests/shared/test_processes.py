"""Children are started again with patience, end with all that they started, and leave their words in a log."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.errors import DeploymentError
from shared.processes import Backoff, Command, Ended, StopSignals, Supervisor, end_leftovers, free_port, only_one, refuse_taken_port, tail

SLEEP = "import time; time.sleep(60)"


def command(tmp_path: Path, code: str, name: str = "child", **environment: str) -> Command:
    return Command(name, (sys.executable, "-c", code), tmp_path / "logs" / f"{name}.log", environment)


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def ended_of(supervisor: Supervisor) -> list[Ended]:
    found: list[Ended] = []

    def look() -> bool:
        found.extend(supervisor.tend())
        return bool(found)

    wait_for(look)
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_backoff_doubles_up_to_its_longest() -> None:
    assert [Backoff(1.0, 10.0).delay(n) for n in range(1, 7)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_a_child_that_ends_is_started_again_after_its_wait(tmp_path: Path) -> None:
    now = [0.0]
    with Supervisor(Backoff(5.0, 60.0), clock=lambda: now[0]) as supervisor:
        supervisor.start(command(tmp_path, "import sys; sys.exit(7)"))
        for failures, wait in ((1, 5.0), (2, 10.0)):
            ended = ended_of(supervisor)
            assert [(end.name, end.code, end.failures) for end in ended] == [("child", 7, failures)]
            now[0] += wait - 0.1
            assert supervisor.tend() == []
            assert supervisor.pid("child") is None
            now[0] += 0.2
            supervisor.tend()
            assert supervisor.pid("child") is not None


def test_a_child_that_ran_long_enough_starts_counting_anew(tmp_path: Path) -> None:
    now = [0.0]
    with Supervisor(Backoff(1.0), clock=lambda: now[0]) as supervisor:
        supervisor.start(command(tmp_path, SLEEP))
        now[0] = 100.0
        pid = supervisor.pid("child")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        ended = ended_of(supervisor)
        assert (ended[0].code, ended[0].failures) == (-signal.SIGKILL, 1)


def test_stopping_ends_grandchildren_too(tmp_path: Path) -> None:
    family = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEP!r}]).pid, flush=True); {SLEEP}"
    log = tmp_path / "logs" / "child.log"
    with Supervisor() as supervisor:
        supervisor.start(command(tmp_path, family))
        wait_for(lambda: log.exists() and log.read_text().strip().isdigit())
        grandchild = int(log.read_text())
        assert alive(grandchild)
    wait_for(lambda: not alive(grandchild))


def test_a_child_that_will_not_end_is_ended(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "child.log"
    supervisor = Supervisor()
    supervisor.start(
        command(tmp_path, f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); {SLEEP}")
    )
    wait_for(lambda: log.exists() and "ready" in log.read_text())
    pid = supervisor.pid("child")
    assert pid is not None
    supervisor.stop(grace_s=0.3)
    assert not alive(pid)


def test_a_killed_supervisor_leaves_nothing_behind(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from shared.processes import Command, Supervisor
supervisor = Supervisor()
supervisor.start(Command("child", (sys.executable, "-c", {SLEEP!r}), Path({str(tmp_path / "log")!r})))
print(supervisor.pid("child"), flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()
    wait_for(lambda: not alive(child))


def test_what_a_killed_supervisor_left_behind_is_ended(tmp_path: Path) -> None:
    family = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEP!r}], start_new_session=True).pid, flush=True)"
    log = tmp_path / "logs" / "child.log"
    with Supervisor(mark=str(tmp_path)) as supervisor:
        supervisor.start(command(tmp_path, family))
        wait_for(lambda: log.exists() and log.read_text().strip().isdigit())
    orphan = int(log.read_text())
    assert alive(orphan)
    assert end_leftovers("another service", grace_s=1.0) == 0
    assert alive(orphan)
    assert end_leftovers(str(tmp_path)) == 1
    assert not alive(orphan)


def test_restart_starts_at_once(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        supervisor.start(command(tmp_path, SLEEP))
        first = supervisor.pid("child")
        supervisor.restart("child")
        assert not supervisor.running("child")
        assert supervisor.tend() == []
        assert supervisor.running("child")
        assert supervisor.pid("child") != first


def test_environment_and_words_arrive(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        supervisor.start(command(tmp_path, "import os; print(os.environ['WORD'])", WORD="hello"))
        wait_for(lambda: "hello" in tail(tmp_path / "logs" / "child.log"))


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with Supervisor() as supervisor, pytest.raises(DeploymentError, match="cannot start ghost"):
        supervisor.start(Command("ghost", (str(tmp_path / "nowhere"),), tmp_path / "log"))


def test_only_one_may_hold_a_folder(tmp_path: Path) -> None:
    lock = tmp_path / "flower" / "lock"
    with (
        only_one(lock, what="a coordinator"),
        pytest.raises(DeploymentError, match="runs already"),
        only_one(lock, what="a coordinator"),
    ):
        pass
    with only_one(lock, what="a coordinator"):
        pass


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(DeploymentError, match="--port"):
            refuse_taken_port("127.0.0.1", taken.getsockname()[1])
    refuse_taken_port("127.0.0.1", free_port())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_wait(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopSignals() as stop:
        assert not stop.wait(0.0)
        os.kill(os.getpid(), number)
        assert stop.wait(10.0)
        assert stop.interrupted == (number == signal.SIGINT)
    assert signal.getsignal(number) is before


def test_tail_of_a_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("one\n\ntwo\nthree\n")
    assert tail(tmp_path / "log", 2) == "two | three"
    assert tail(tmp_path / "nowhere") == ""
