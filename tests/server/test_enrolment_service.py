"""How often strangers may try to join (over the wire and with real invitations: ``tests/server/attacks``)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from server import enrolment_service
from server.callers import Callers
from server.enrolment_service import MOST_JOINS, EnrolmentService
from server.membership import Membership
from server.site import CoordinatorSite
from shared.rpc import enrolment_pb2 as pb
from tests.server.test_callers import Aborted, Context
from tests.support.opened import make_coordinator


def tried(service: EnrolmentService) -> grpc.StatusCode:
    context = Context()
    with pytest.raises(Aborted):
        asyncio.run(service.Join(pb.JoinRequest(invitation=bytes(32)), context))
    assert context.told is not None
    return context.told[0]


def test_a_flood_is_not_looked_at_and_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, now = make_coordinator(tmp_path / "coordinator"), [1000.0]
    clock: Any = type("Clock", (), {"monotonic": staticmethod(lambda: now[0])})
    monkeypatch.setattr(enrolment_service, "time", clock)
    membership = Membership(folder)
    service = EnrolmentService(CoordinatorSite(folder), membership, Callers(membership))
    assert {tried(service) for _ in range(MOST_JOINS)} == {grpc.StatusCode.PERMISSION_DENIED}
    assert tried(service) == grpc.StatusCode.RESOURCE_EXHAUSTED
    now[0] += enrolment_service.JOINS_S
    assert tried(service) == grpc.StatusCode.PERMISSION_DENIED
