"""Roster and run plan are the pinned coordinator's, or they are refused."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.config import FederationConfig
from shared.errors import IdentityError
from shared.identity import public_bytes, roster_bytes, sign
from shared.secagg.roster import Roster
from shared.signed import LARGEST_PLAN, PLAN_PURPOSE, ROSTER_PURPOSE, check_roster, make_plan, read_plan, sign_plan
from tests.support.small import federation_table

COORDINATOR, MALLORY = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
ROSTER = Roster(members={"va": bytes(32), "cl": bytes(range(32))}, coordinator=public_bytes(COORDINATOR))
CONFIG = FederationConfig.model_validate(federation_table(2))


def test_a_signed_roster_is_taken() -> None:
    signature = sign(COORDINATOR, ROSTER_PURPOSE, ROSTER.digest)
    for pinned in (None, ROSTER.coordinator):
        assert check_roster(roster_bytes(ROSTER), signature, pinned).digest == ROSTER.digest


def test_another_s_roster_is_refused() -> None:
    theirs = Roster(members=ROSTER.members, coordinator=public_bytes(MALLORY))
    signature = sign(MALLORY, ROSTER_PURPOSE, theirs.digest)
    with pytest.raises(IdentityError, match="not signed by the coordinator"):
        check_roster(roster_bytes(theirs), signature, ROSTER.coordinator)
    mixed = sign(COORDINATOR, ROSTER_PURPOSE, theirs.digest)
    with pytest.raises(IdentityError, match="names another coordinator"):
        check_roster(roster_bytes(theirs), mixed, ROSTER.coordinator)


def test_a_changed_roster_and_a_signature_for_something_else_are_refused() -> None:
    more = Roster(members={**ROSTER.members, "mallory": bytes(32)}, coordinator=ROSTER.coordinator)
    for content, signature in (
        (roster_bytes(more), sign(COORDINATOR, ROSTER_PURPOSE, ROSTER.digest)),
        (roster_bytes(ROSTER), sign(COORDINATOR, PLAN_PURPOSE, ROSTER.digest)),
        (roster_bytes(ROSTER), b""),
    ):
        with pytest.raises(IdentityError, match="not signed"):
            check_roster(content, signature, ROSTER.coordinator)


def test_a_plan_says_what_is_learnt_and_nothing_of_the_coordinator_s_machine() -> None:
    plan = make_plan("trial-1", CONFIG.model_copy(update={"initial_path": "/srv/secret/model.safetensors"}), ROSTER)
    assert plan.members == ("cl", "va")
    assert plan.settings["rounds"] == CONFIG.rounds
    assert plan.settings["training"] == CONFIG.training.model_dump(mode="json", exclude_none=True)
    assert b"/srv/secret" not in plan.canonical()


def test_a_signed_plan_reads_back_and_a_changed_one_does_not() -> None:
    plan = make_plan("trial-1", CONFIG, ROSTER)
    signed = sign_plan(plan, COORDINATOR)
    assert read_plan(signed.canonical(), ROSTER.coordinator, where="plan.json") == plan
    changed = signed.model_copy(update={"plan": plan.model_copy(update={"run": "trial-2"})})
    for content in (changed.canonical(), sign_plan(plan, MALLORY).canonical()):
        with pytest.raises(IdentityError, match="not signed by the coordinator"):
            read_plan(content, ROSTER.coordinator, where="plan.json")


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b" " * (LARGEST_PLAN + 1)])
def test_nonsense_is_no_plan(content: bytes) -> None:
    with pytest.raises(IdentityError, match=r"plan\.json is not a run's plan"):
        read_plan(content, ROSTER.coordinator, where="plan.json")
