"""The process as the supervisor starts it: on loopback, with the server's certificate, and it ends when it is told to."""

from __future__ import annotations

import signal
import ssl
import subprocess
import time
from pathlib import Path

import httpx

from server.superlink import CoordinatorFolder, console
from shared.processes import free_port
from tests.support.opened import make_coordinator


def test_the_process_answers_and_ends(tmp_path: Path) -> None:
    home, port = CoordinatorFolder(make_coordinator(tmp_path / "coordinator")), free_port()
    command, trust = console(home, port), ssl.create_default_context(cafile=str(home.ca))
    assert "0.0.0.0" not in command.arguments
    process = subprocess.Popen(command.arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trust, trust_env=False, timeout=20) as client:
            answers = None
            for _ in range(600):
                try:
                    answers = [client.get(path) for path in ("/console/login", "/console", "/docs")]
                    break
                except httpx.TransportError:
                    assert process.poll() is None
                    time.sleep(0.1)
        assert answers is not None
        assert [answer.status_code for answer in answers] == [200, 403, 403]
        assert "server" not in answers[0].headers
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert said == b""
