"""The console as operators have it: real commands and processes, one public port, a link out of a terminal."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from server.console.guard import COOKIE
from shared.processes import free_port
from tests.support.deployed import command, wait_for
from tests.support.opened import make_coordinator

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@contextmanager
def opened_door(folder: Path, *words: str) -> Iterator[httpx.Client]:
    """``fedstill coordinator open`` of ``folder``, and somebody outside with the CA's certificate."""
    port = free_port()
    trust = ssl.create_default_context(cafile=str(folder / "keys" / "ca.crt"))
    with (
        command(folder.parent / "said", "coordinator", "open", str(folder), "--port", str(port), "--host", "127.0.0.1", *words) as door,
        httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trust, timeout=30, trust_env=False) as client,
    ):
        wait_for(lambda: door.said("the door is open"), "the opening of the door")
        yield client


def link_to(folder: Path, *words: str) -> dict[str, object]:
    """What ``fedstill coordinator console`` prints."""
    arguments = [sys.executable, "-m", "fedstill", "coordinator", "console", str(folder), "--json", *words]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    found: dict[str, object] = json.loads(done.stdout)
    return found


def process_of(folder: Path) -> int:
    """The console's process; 0 while there is none."""
    for process in psutil.process_iter(["pid", "cmdline"]):
        words = process.info["cmdline"] or []
        if "server.console" in words and str(folder) in words:
            return int(process.info["pid"])
    return 0


def test_a_link_signs_in_and_a_killed_console_comes_back_with_its_sessions(tmp_path: Path) -> None:
    folder = make_coordinator(tmp_path / "coordinator with a 'space'")
    with opened_door(folder) as client:
        assert client.get("/console").status_code == 403
        link = link_to(folder)
        address, _, code = str(link["link"]).partition("#")
        assert link["open"]
        assert address == f"{client.base_url}/console/login"
        assert client.post(address, data={"code": code}).status_code == 303
        assert client.get("/console?format=json").json()["state"] == "open"
        killed = process_of(folder)
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: process_of(folder) not in (0, killed), "another console", 60)
        assert client.get("/console").status_code == 200, "nobody has to sign in again"
        assert link_to(folder, "--sign-out") == {"signed_out": 1}
        assert client.get("/console").status_code == 403
        token = client.cookies[COOKIE]
    for path in tmp_path.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert code.partition(".")[2].encode() not in content, path
        assert token.encode() not in content, path


def test_it_can_be_shut(tmp_path: Path) -> None:
    folder = make_coordinator(tmp_path / "coordinator")
    with opened_door(folder, "--no-console") as client:
        assert process_of(folder) == 0
        assert not link_to(folder)["open"]
        assert {client.get(path).status_code for path in ("/console", "/console/login", "/console/assets/console.js")} == {403}
