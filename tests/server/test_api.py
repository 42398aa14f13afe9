"""The API's ports: one where nobody is let in without a certificate of the CA, and one that bears only so many attempts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from client.link import open_join_link
from server import enrolment_service
from server.api import listen, make_server
from shared.enrolment import Connection
from shared.errors import DeploymentError, FedstillError, IdentityError, PolicyRefusal
from shared.rpc import enrolment_pb2 as pb
from shared.rpc.services import ENROLMENT
from tests.support.opened import make_coordinator


def asked(folder: Path, times: int, *, at: int) -> list[FedstillError]:
    """What the port ``at`` (0: with certificates, 1: without) says to a join without an invitation, time after time."""

    def ask(port: int) -> list[FedstillError]:
        said: list[FedstillError] = []
        with open_join_link(Connection(address=f"127.0.0.1:{port}"), (folder / "keys" / "ca.crt").read_bytes()) as link:
            for _ in range(times):
                with pytest.raises(FedstillError) as caught:
                    link.call(ENROLMENT, "Join", pb.JoinRequest(), timeout=3.0)
                said.append(caught.value)
        return said

    async def run() -> list[FedstillError]:
        server = make_server(folder)
        ports = listen(server, folder)
        await server.start()
        try:
            return await asyncio.to_thread(ask, ports[at])
        finally:
            await server.stop(0)

    return asyncio.run(run())


def test_where_certificates_are_asked_for_nothing_is_answered_without_one(tmp_path: Path) -> None:
    (refusal,) = asked(make_coordinator(tmp_path / "coordinator"), 1, at=0)
    assert isinstance(refusal, DeploymentError)
    assert "cannot be reached" in str(refusal)


def test_attempts_to_join_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrolment_service, "MOST_JOINS", 3)
    said = asked(make_coordinator(tmp_path / "coordinator"), 5, at=1)
    assert [type(one) for one in said] == [IdentityError] * 3 + [PolicyRefusal] * 2
    assert "try again in a minute" in str(said[-1])


def test_a_key_that_others_can_read_is_not_served_with(tmp_path: Path) -> None:
    folder = make_coordinator(tmp_path / "coordinator")
    (folder / "keys" / "server.key").chmod(0o644)

    async def run() -> Any:
        server = make_server(folder)
        try:
            return listen(server, folder)
        finally:
            await server.stop(0)

    with pytest.raises(IdentityError, match="chmod 600"):
        asyncio.run(run())


def test_what_is_wrong_at_the_coordinator_is_told_to_its_operator_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = make_coordinator(tmp_path / "coordinator")

    async def run() -> FedstillError:
        server = make_server(folder)
        _, port = listen(server, folder)
        await server.start()
        trust = (folder / "keys" / "ca.crt").read_bytes()
        (folder / "keys" / "ca.key").write_bytes(b"damaged")

        def ask() -> FedstillError:
            with open_join_link(Connection(address=f"127.0.0.1:{port}"), trust) as link, pytest.raises(FedstillError) as caught:
                link.call(ENROLMENT, "Join", pb.JoinRequest(), timeout=5.0)
            return caught.value

        try:
            return await asyncio.to_thread(ask)
        finally:
            await server.stop(0)

    said = str(asyncio.run(run()))
    assert "its operator finds the cause in its log" in said
    assert str(tmp_path) not in said
    assert "ca.key" in caplog.text
