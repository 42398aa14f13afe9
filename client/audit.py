"""What an institution writes down of every message, before anything leaves: what it agreed to, what left, what it refused, what it cost."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from client.leaving import items, refusal_items
from client.ledger import Slot
from client.site import InstitutionSite
from shared.audit.chain import institution_side
from shared.audit.facts import answer_digest, plan_facts
from shared.audit.writer import AuditLog
from shared.exchange import MessageKind, Refusal, Reply, Request
from shared.secagg.messages import Plan
from shared.work import Work


@dataclass(frozen=True)
class InstitutionAudit:
    """The audit of one institution, in its folder's ``audit/``. Every method raises as :meth:`AuditLog.append` does."""

    site: InstitutionSite

    @cached_property
    def _log(self) -> AuditLog:
        return AuditLog(self.site.folder / "audit", institution_side(self.site.config.name), self.site.identity)

    def agreed(self, plan: Plan) -> None:
        """A plan passed the policy and is about to be worked on."""
        self._log.append("agreed", **plan_facts(plan))

    def answered(
        self, request: Request, slot: Slot, plan: Plan | None, work: Work | None, reply: Reply, *, seconds: float, again: bool
    ) -> None:
        """An answer is about to leave, after ``seconds`` of work; ``again`` if it is the stored one of an identical request."""
        self._log.append(
            "answered-again" if again else "answered",
            run=slot.run,
            epoch=slot.epoch,
            round=slot.round,
            stage=slot.stage,
            **({} if plan is None or work is None else {"work": work.kind, "cohort_size": len(plan.cohort)}),
            seconds=round(seconds, 3),
            **_sizes(request),
            bytes_up=len(reply.header) + len(reply.blob),
            answer_sha256=answer_digest(reply),
            left=items(slot.stage, reply, plan, work, self.site.config.task),
            **self._spent(slot),
        )

    def refused(self, request: Request, slot: Slot | None, refusal: Refusal) -> None:
        """A refusal is about to leave; ``slot`` is what was asked for, if the coordinator signed it."""
        where: dict[str, Any] = {} if slot is None else {"run": slot.run, "epoch": slot.epoch, "round": slot.round}
        kind: MessageKind = request.kind
        left = refusal_items(refusal)
        self._log.append(
            "refused",
            **where,
            stage=kind,
            **_sizes(request),
            bytes_up=sum(item["bytes"] for item in left),
            code=refusal.code,
            reason=refusal.reason,
            left=left,
        )

    def _spent(self, slot: Slot) -> dict[str, Any]:
        if slot.stage != "train":
            return {}
        spent, delta = self.site.ledger.spent(), self.site.config.policy.delta
        if not spent.rho:
            return {}
        return {"rho": self.site.ledger.charged(slot), "epsilon_spent": spent.epsilon(delta), "delta": delta}


def _sizes(request: Request) -> dict[str, Any]:
    return {"request_sha256": hashlib.sha256(request.header).hexdigest(), "bytes_down": len(request.header) + len(request.blob)}
