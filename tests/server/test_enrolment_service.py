"""How often strangers may try to join (over the wire and with real invitations: ``tests/server/attacks``)."""

from __future__ import annotations

import asyncio
import fcntl
from pathlib import Path
from typing import Any

import grpc
import pytest

from server import enrolment_service
from server.callers import Callers
from server.enrolment_service import MOST_JOINS, EnrolmentService
from server.membership import Membership
from server.site import CoordinatorSite
from shared.enrolment import Connection
from shared.rpc import enrolment_pb2 as pb
from tests.server.test_callers import Aborted, Context
from tests.support.opened import make_coordinator


def tried(service: EnrolmentService, invitation: bytes) -> grpc.StatusCode:
    context = Context()
    with pytest.raises(Aborted):
        asyncio.run(service.Join(pb.JoinRequest(invitation=invitation), context))
    assert context.told is not None
    return context.told[0]


@pytest.fixture
def membership(tmp_path: Path) -> Membership:
    return Membership(make_coordinator(tmp_path / "coordinator"))


@pytest.fixture
def service(tmp_path: Path, membership: Membership) -> EnrolmentService:
    return EnrolmentService(CoordinatorSite(tmp_path / "coordinator"), membership, Callers(membership))


def invited(membership: Membership, name: str) -> bytes:
    return membership.invite(name, Connection(address="fl.example.org:8443"), 3600.0).public


def test_a_flood_is_not_looked_at_and_passes(service: EnrolmentService, membership: Membership, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    clock: Any = type("Clock", (), {"monotonic": staticmethod(lambda: now[0])})
    monkeypatch.setattr(enrolment_service, "time", clock)
    monkeypatch.setattr(enrolment_service, "MOST_JOINS", 3)
    service._joins = type(service._joins)(maxlen=3)
    public = invited(membership, "va")
    assert {tried(service, public) for _ in range(3)} == {grpc.StatusCode.PERMISSION_DENIED}
    assert tried(service, public) == grpc.StatusCode.RESOURCE_EXHAUSTED
    now[0] += enrolment_service.JOINS_S
    assert tried(service, public) == grpc.StatusCode.PERMISSION_DENIED


def test_strangers_without_an_invitation_take_nobody_s_turn(service: EnrolmentService, membership: Membership) -> None:
    assert {tried(service, bytes(32)) for _ in range(MOST_JOINS + 1)} == {grpc.StatusCode.PERMISSION_DENIED}
    assert not service._joins
    assert tried(service, invited(membership, "va")) == grpc.StatusCode.PERMISSION_DENIED
    assert len(service._joins) == 1


def test_who_names_no_invitation_does_not_wait_for_the_lock(service: EnrolmentService, tmp_path: Path) -> None:
    lock = tmp_path / "coordinator" / "enrolment" / "lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert tried(service, bytes(32)) == grpc.StatusCode.PERMISSION_DENIED
