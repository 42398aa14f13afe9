"""Child processes that are kept alive, logged, and ended whole: with everything that they started themselves."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from shared.errors import DeploymentError

LARGEST_LOG = 16 * 2**20
"""Bytes after which a log is moved aside (one older log is kept) the next time that its process starts."""
MARK_VARIABLE = "FEDSTILL_SERVICE"
"""Names, in the environment of a supervised process and of all that it starts, the service that it belongs to."""
_STEADY_S = 30.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Command:
    """A process to keep alive: its ``name``, its arguments, what is added to the environment, and where it logs."""

    name: str
    arguments: tuple[str, ...]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Backoff:
    """Seconds to wait before the n-th start in a row: ``first * 2^(n-1)``, at most ``longest``."""

    first: float = 1.0
    longest: float = 15.0

    def delay(self, failures: int) -> float:
        """The wait after ``failures`` failures in a row."""
        return min(self.longest, self.first * 2.0 ** max(0, failures - 1))


@dataclass
class _Child:
    command: Command
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    due: float = 0.0


@dataclass(frozen=True)
class Ended:
    """A child that ended by itself: its exit code (negative: a signal), and how often in a row it has."""

    name: str
    code: int
    failures: int


class Supervisor:
    """Starts commands, starts those again that end (with backoff), and ends all of them, youngest first.

    Call it from one thread only, the main one: on Linux a child is told to end when the thread that started it does,
    so that even a killed supervisor leaves nothing behind.
    """

    def __init__(self, backoff: Backoff = Backoff(), *, mark: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        """``mark`` is put into every child's environment; by it :func:`end_leftovers` knows them."""
        self._backoff = backoff
        self._mark = mark
        self._clock = clock
        self._children: dict[str, _Child] = {}

    def start(self, command: Command) -> None:
        """Starts ``command`` now; raises :class:`DeploymentError` if its program cannot be run."""
        child = _Child(command)
        self._children[command.name] = child
        self._spawn(child)

    def tend(self) -> list[Ended]:
        """Looks once at every child; starts those whose wait is over; returns those that ended since the last look."""
        return [ended for child in self._children.values() if (ended := self._tend(child)) is not None]

    def running(self, name: str) -> bool:
        """Whether the named child runs now."""
        process = self._children[name].process
        return process is not None and process.poll() is None

    def pid(self, name: str) -> int | None:
        """The named child's process id, or None while it waits to be started again."""
        process = self._children[name].process
        return process.pid if process is not None else None

    def restart(self, name: str) -> None:
        """Ends the named child and lets :meth:`tend` start it again at once."""
        child = self._children[name]
        if child.process is not None:
            _end(child.process, grace_s=5.0)
        child.process, child.due = None, self._clock()

    def stop(self, grace_s: float = 8.0) -> None:
        """Ends every child's process group: SIGTERM, and SIGKILL after ``grace_s`` seconds. Safe to call again."""
        for child in reversed(self._children.values()):
            if child.process is not None:
                _end(child.process, grace_s)
        self._children.clear()

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _tend(self, child: _Child) -> Ended | None:
        now = self._clock()
        if child.process is None:
            if now >= child.due:
                self._spawn(child)
            return None
        code = child.process.poll()
        if code is None:
            return None
        _end(child.process, grace_s=2.0)  # what it had started itself may live on in its group
        child.failures = 1 if now - child.started > _STEADY_S else child.failures + 1
        child.process, child.due = None, now + self._backoff.delay(child.failures)
        return Ended(child.command.name, code, child.failures)

    def _spawn(self, child: _Child) -> None:
        command = child.command
        with _open_log(command.log) as log:
            try:
                child.process = subprocess.Popen(
                    command.arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **command.environment, MARK_VARIABLE: self._mark},
                    start_new_session=True,
                    preexec_fn=_end_with_parent if sys.platform == "linux" else None,
                )
            except OSError as error:
                raise DeploymentError(f"cannot start {command.name} ({command.arguments[0]}): {error.strerror}") from error
        child.started = self._clock()


class StopSignals:
    """Turns SIGINT and SIGTERM into a flag that waits end on; the signals' old handlers come back afterwards."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.received: int | None = None

    def __enter__(self) -> StopSignals:
        self._old = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    @property
    def interrupted(self) -> bool:
        """Whether a person asked (SIGINT), not the system (SIGTERM)."""
        return self.received == signal.SIGINT

    def wait(self, seconds: float) -> bool:
        """Waits, at most ``seconds``; True as soon as a signal has come."""
        return self._event.wait(seconds)

    def _receive(self, number: int, _: FrameType | None) -> None:
        self.received = number
        self._event.set()


def end_leftovers(mark: str, *, grace_s: float = 8.0) -> int:
    """Ends every process of this user that a supervisor with this ``mark`` left behind; returns how many there were.

    A killed supervisor's children end with it, but not always what those had started. Call it only while holding the
    lock (:func:`only_one`) that says that no such supervisor runs. Without ``/proc`` (not Linux) it does nothing.
    """
    left = _marked(mark)
    for number, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 2.0)):
        deadline = time.monotonic() + patience_s
        for pid in _marked(mark):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        while _marked(mark) and time.monotonic() < deadline:
            time.sleep(0.1)
    return len(left)


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port on ``host`` that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def refuse_taken_port(host: str, port: int) -> None:
    """Raises :class:`DeploymentError` if ``port`` cannot be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise DeploymentError(f"cannot listen on {host}:{port}: {error.strerror}; give another with --port") from error


@contextlib.contextmanager
def only_one(lock: Path, *, what: str) -> Iterator[None]:
    """Holds ``lock`` for as long as the block runs; raises :class:`DeploymentError` if another process holds it."""
    import fcntl

    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("ab") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DeploymentError(f"{what} runs already (it holds {lock}): stop it first") from error
        yield


def tail(log: Path, lines: int = 3) -> str:
    """The last non-empty lines of a log, joined, for an error's sentence; empty if there is none."""
    try:
        content = log.read_bytes()[-8192:].decode(errors="replace")
    except OSError:
        return ""
    return " | ".join([line.strip() for line in content.splitlines() if line.strip()][-lines:])


def _marked(mark: str) -> list[int]:
    if not mark:
        return []
    wanted, found = f"{MARK_VARIABLE}={mark}".encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(entry.name) != os.getpid() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def _open_log(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LARGEST_LOG:
        path.replace(path.with_suffix(path.suffix + ".1"))
    return path.open("ab")


def _end_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """Ends a whole process group; its leader is the child, whose number stays taken until it is waited for."""
    if process.returncode is None or _group_lives(process.pid):
        _signal_group(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while time.monotonic() < deadline:
        process.poll()
        if not _group_lives(process.pid):
            break
        time.sleep(0.05)
    _signal_group(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5.0)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
