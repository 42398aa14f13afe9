"""The gRPC service ``Runs`` (``proto/fedstill/v1/runs.proto``): plans to approve, and events as they happen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from server.callers import Callers, NotThereError, told
from server.events import Event
from server.site import CoordinatorSite
from server.views import seen_by
from shared.files import read_bytes
from shared.rpc import runs_pb2 as pb
from shared.signed import SignedPlan

LOOK_S = 1.0
"""Seconds between two looks for new events; each also asks whether the caller is still a member."""
LARGEST_SEQUENCE = 2**63 - 1
"""The largest number that the store can be asked about; a caller may send larger ones."""


class RunsService:
    """Tells members what runs are about to do, and do. Events come from the store that the run writes."""

    def __init__(self, site: CoordinatorSite, callers: Callers, *, look_s: float = LOOK_S) -> None:
        self._site, self._callers, self._look_s = site, callers, look_s

    async def List(self, request: pb.ListRunsRequest, context: Any) -> pb.ListRunsReply:  # noqa: N802
        """See ``runs.proto``."""
        await self._callers.member(context)
        return pb.ListRunsReply(runs=await told(context, self._summaries))

    async def Plan(self, request: pb.RunPlanRequest, context: Any) -> pb.SignedRunPlan:  # noqa: N802
        """See ``runs.proto``."""
        await self._callers.member(context)
        signed = await told(context, self._plan, request.run)
        return pb.SignedRunPlan(plan=signed.plan.canonical(), signature=bytes.fromhex(signed.signature))

    async def Events(self, request: pb.RunEventsRequest, context: Any) -> AsyncIterator[pb.RunEvent]:  # noqa: N802
        """See ``runs.proto``."""
        name = await self._callers.member(context)
        async with self._callers.streaming(name, context):
            newest = min(request.after, LARGEST_SEQUENCE)
            while True:
                over = await told(context, self._over, request.run)
                for sequence, time, event in await told(context, self._site.store.events, request.run, newest):
                    newest = sequence
                    if (seen := seen_by(event, name)) is not None:
                        yield _event(sequence, time, seen)
                if over:
                    return
                await asyncio.sleep(self._look_s)
                await self._callers.member(context)

    def _summaries(self) -> list[pb.RunSummary]:
        store = self._site.store
        found = [(run, store.run_status(run)) for run in store.runs()]
        return [pb.RunSummary(run=run, status=status[0], has_artifact=bool(status[1])) for run, status in found if status is not None]

    def _plan(self, run: str) -> SignedPlan:
        planned = self._site.plans()
        if run not in planned:
            raise NotThereError(f"there is no plan of a run '{run}' yet: it is made when the run begins")
        return SignedPlan.parse(read_bytes(planned[run], what="run's plan"))

    def _over(self, run: str) -> bool:
        status = self._site.store.run_status(run)
        if status is None and run not in self._site.plans():
            raise NotThereError(f"there is no run '{run}'")
        return status is not None and status[0] == "finished"


def _event(sequence: int, time: float, event: Event) -> pb.RunEvent:
    return pb.RunEvent(sequence=sequence, time=time, event=event.model_dump_json().encode())
