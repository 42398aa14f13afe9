"""The gRPC service ``Enrolment`` (``proto/fedstill/v1/enrolment.proto``): what comes in by the wire goes to :class:`Membership`."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

import grpc

from server.callers import Callers, told
from server.membership import NOT_INVITED, Membership
from server.site import CoordinatorSite
from shared.identity import roster_bytes, sign
from shared.rpc import enrolment_pb2 as pb
from shared.secagg.roster import Roster
from shared.signed import ROSTER_PURPOSE

MOST_JOINS, JOINS_S = 120, 60.0
"""Attempts to join with open invitations that are looked at in so many seconds, from everyone together."""
JOIN = "Join"
"""The one method whose caller has no certificate yet."""


class EnrolmentService:
    """Lets institutions in, renews their certificates, and gives them the roster."""

    def __init__(self, site: CoordinatorSite, membership: Membership, callers: Callers) -> None:
        self._site, self._membership, self._callers = site, membership, callers
        self._joins: deque[float] = deque(maxlen=MOST_JOINS)
        self._joining = asyncio.Lock()

    async def Join(self, request: pb.JoinRequest, context: Any) -> pb.JoinReply:  # noqa: N802
        """See ``enrolment.proto``."""
        # Who names no invitation costs a look at a file, and takes nobody's turn.
        if not await told(context, self._membership.invites, request.invitation):
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, NOT_INVITED)
        if len(self._joins) == MOST_JOINS and time.monotonic() - self._joins[0] < JOINS_S:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many attempts to join: try again in a minute")
        self._joins.append(time.monotonic())
        handed_in = (request.invitation, request.enrolment, request.certificate_request, request.proof)
        # One after the other, as the folder's lock wants it: they would wait in the threads that members' calls are answered in.
        async with self._joining:
            certificate, roster = await told(context, self._membership.join, *handed_in)
        return pb.JoinReply(certificate=certificate, roster=_signed(self._site, roster))

    async def Renew(self, request: pb.RenewRequest, context: Any) -> pb.RenewReply:  # noqa: N802
        """See ``enrolment.proto``."""
        name = await self._callers.member(context)
        return pb.RenewReply(certificate=await told(context, self._membership.renew, name, request.certificate_request))

    async def Roster(self, request: pb.RosterRequest, context: Any) -> pb.SignedRoster:  # noqa: N802
        """See ``enrolment.proto``."""
        await self._callers.member(context)
        return _signed(self._site, await told(context, self._site.current_roster))


def _signed(site: CoordinatorSite, roster: Roster) -> pb.SignedRoster:
    return pb.SignedRoster(roster=roster_bytes(roster), signature=sign(site.identity, ROSTER_PURPOSE, roster.digest))
