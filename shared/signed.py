"""What the coordinator signs beside requests and artifacts: the roster, and the plan of a run that an institution may have to approve."""

from __future__ import annotations

import hashlib
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from shared.config import FederationConfig
from shared.errors import IdentityError
from shared.frozen import Frozen
from shared.identity import parse_roster, sign, verify
from shared.secagg.roster import Roster

ROSTER_PURPOSE = "roster"
PLAN_PURPOSE = "run-plan"
LARGEST_PLAN = 2**20
"""Bytes of the largest run plan that is looked at."""
LOCAL = ("data", "tokenizer_path", "initial_path")
"""Settings that are about the coordinator's own machine, and no part of what is planned."""


class RunPlan(Frozen):
    """What a run is going to do: its name, the members by name with the roster's digest (hex), and the federation's settings."""

    run: str
    roster_digest: str
    members: tuple[str, ...]
    settings: dict[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of the plan's canonical bytes, in hex."""
        return hashlib.sha256(self.canonical()).hexdigest()


class SignedPlan(Frozen):
    """A run's plan with the coordinator's signature over its canonical bytes (hex)."""

    plan: RunPlan
    signature: str


def make_plan(run: str, config: FederationConfig, roster: Roster) -> RunPlan:
    """The plan of ``run`` as it is about to begin; paths of the coordinator's machine are left out."""
    settings = {name: value for name, value in config.model_dump(mode="json", exclude_none=True).items() if name not in LOCAL}
    for part in ("proxy", "knowledge"):
        settings.get(part, {}).pop("path", None)
    return RunPlan(run=run, roster_digest=roster.digest.hex(), members=tuple(sorted(roster.members)), settings=settings)


def sign_plan(plan: RunPlan, identity: Ed25519PrivateKey) -> SignedPlan:
    """The plan with the coordinator's signature."""
    return SignedPlan(plan=plan, signature=sign(identity, PLAN_PURPOSE, plan.canonical()).hex())


def read_plan(content: bytes, coordinator: bytes, *, where: str) -> RunPlan:
    """The plan in ``content``, a :class:`SignedPlan` as JSON; raises :class:`IdentityError` unless ``coordinator`` signed it."""
    try:
        if len(content) > LARGEST_PLAN:
            raise ValueError("too large")
        signed = SignedPlan.parse(content)
        signature = bytes.fromhex(signed.signature)
    except (ValidationError, ValueError) as error:
        raise IdentityError(f"{where} is not a run's plan: fetch it again from the coordinator") from error
    verify(coordinator, signature, PLAN_PURPOSE, signed.plan.canonical(), what=f"the plan in {where}")
    return signed.plan


def check_roster(content: bytes, signature: bytes, coordinator: bytes | None) -> Roster:
    """The roster in ``content`` if the pinned ``coordinator`` signed it; without one (at joining) the one that it names itself.

    Raises :class:`IdentityError`, also if the roster names another coordinator than the one that is pinned.
    """
    roster = parse_roster(content, where="what the coordinator sent")
    verify(coordinator or roster.coordinator, signature, ROSTER_PURPOSE, roster.digest, what="the roster that came")
    if coordinator is not None and roster.coordinator != coordinator:
        raise IdentityError("the roster that came names another coordinator than the one that is pinned: ask its operator why")
    return roster
