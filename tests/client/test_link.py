"""The link goes by the machine's proxy, says whose fault it is, and needs a certificate."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from client.link import open_join_link, open_link, proxy_for
from shared.certificates import make_authority
from shared.enrolment import Connection
from shared.errors import DeploymentError, IdentityError
from shared.processes import free_port
from shared.rpc import enrolment_pb2 as pb
from shared.rpc.services import ENROLMENT

VARIABLES = ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_without_a_certificate_the_way_by_hand_is_named(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="join with 'fedstill client join'"), open_link(tmp_path):
        pass


def test_nobody_there_is_said(tmp_path: Path) -> None:
    make_authority(tmp_path, name="trial")
    nobody = Connection(address=f"127.0.0.1:{free_port()}")
    with open_join_link(nobody, (tmp_path / "ca.crt").read_bytes()) as link, pytest.raises(DeploymentError, match="try 'client check'"):
        link.call(ENROLMENT, "Join", pb.JoinRequest(), timeout=3.0)


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
def test_the_proxy_is_the_environment_s(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    there = Connection(address="fl.example.org:8443")
    assert proxy_for(there) is None
    monkeypatch.setenv(variable, "http://proxy.example.org:3128")
    assert proxy_for(there) == "http://proxy.example.org:3128"
    assert proxy_for(Connection(address="127.0.0.1:8443")) is None
    monkeypatch.setenv("NO_PROXY", "localhost,.example.org")
    assert proxy_for(there) is None


def test_the_call_goes_through_the_proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_authority(tmp_path, name="trial")
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(20)

        def listen() -> None:
            connection, _ = proxy.accept()
            with connection:
                heard.append(connection.recv(4096))
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

        thread = threading.Thread(target=listen)
        thread.start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        with (
            open_join_link(Connection(address="fl.example.org:8443"), (tmp_path / "ca.crt").read_bytes()) as link,
            pytest.raises(DeploymentError, match="cannot be reached"),
        ):
            link.call(ENROLMENT, "Join", pb.JoinRequest(), timeout=5.0)
        thread.join(20)
    assert heard[0].startswith(b"CONNECT fl.example.org:8443 HTTP/1.1\r\n")
