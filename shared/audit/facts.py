"""What both sides write down of a plan and of an answer, in the same words."""

from __future__ import annotations

import hashlib
from typing import Any

from shared.exchange import Reply
from shared.secagg.messages import Plan
from shared.secagg.signing import plan_digest
from shared.work import parse_work


def plan_facts(plan: Plan) -> dict[str, Any]:
    """Everything of a plan that decides what leaves and who stands behind it; ``plan_sha256`` binds the rest."""
    return {
        "run": plan.run,
        "epoch": plan.epoch,
        "round": plan.round,
        "work": parse_work(plan.body).kind,
        "plan_sha256": plan_digest(plan).hex(),
        "work_sha256": hashlib.sha256(plan.body).hexdigest(),
        "model_sha256": plan.blob_digest.hex(),
        "roster_sha256": plan.roster_digest.hex(),
        "cohort": list(plan.cohort),
        "smallest_cohort": plan.smallest_cohort,
        "collusion": plan.collusion,
        "threshold": plan.threshold,
        "clip_norm": float(plan.clip_norm),
        "weight_cap": plan.weight_cap,
        "noise": float(plan.noise),
        "update_words": plan.layout.update_words,
        "width": plan.layout.width,
        "counters": plan.layout.counters,
    }


def answer_digest(reply: Reply) -> str:
    """The SHA-256 of an answer as it travels."""
    return hashlib.sha256(reply.header + reply.blob).hexdigest()
