"""Why both the agreement and the threshold are needed: each attack works once its defence is taken out, and not before.

The coordinator here is active: it opens sealed shares only through the holders' honest answers, but asks them whatever it
likes. No institution colludes with it in the first attack; one does in the second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from shared.secagg.errors import EquivocatedSet, IllegalPlan, UnprovenSet
from shared.secagg.graph import Graph
from shared.secagg.institution import InstitutionEpoch
from shared.secagg.masks import Mask, apply, inverse, pair_mask
from shared.secagg.messages import AgreeRequest, Masked, Plan, Shares, UnmaskRequest
from shared.secagg.rules import Rules
from shared.secagg.shamir import reconstruct
from tests.support.secagg import Federation, Vector, vector_of

NAMES = tuple(f"i{index}" for index in range(8))
VICTIM = "i0"


def take_answers(federation: Federation, plan: Plan) -> dict[str, Masked]:
    return {name: federation.mask(plan, name) for name in plan.cohort}


def request(
    plan: Plan, masked: Mapping[str, Masked], holder: str, survivors: tuple[str, ...], agreements: Mapping[str, bytes]
) -> UnmaskRequest:
    shares = {dealer: masked[dealer].shares[holder] for dealer in survivors if dealer != holder}
    return UnmaskRequest(plan, survivors, agreements, shares)


def opened(plan: Plan, shares: Mapping[str, bytes]) -> bytes:
    """A seed from the shares of a threshold of holders."""
    chosen = sorted(shares)[: plan.threshold]
    assert len(chosen) == plan.threshold, "too few shares to open a seed"
    rows = np.frombuffer(b"".join(shares[name] for name in chosen), np.uint8).reshape(plan.threshold, 1, 32)
    return reconstruct([plan.cohort.index(name) for name in chosen], rows).tobytes()


def unmasked(masked: Masked, self_seed: bytes, pair_seeds: Mapping[str, bytes]) -> Vector:
    """One institution's own vector, all its masks taken off."""
    update, counters = masked.update.copy(), masked.counters.copy()
    masks = [Mask(self_seed, True), *(pair_mask(masked.institution, peer, seed) for peer, seed in pair_seeds.items())]
    apply(update, counters, [inverse(mask) for mask in masks])
    return Vector(update, counters[2:], int(counters[1]))


def lies_open(found: Vector, plan: Plan, victim: str) -> bool:
    true = vector_of(plan, victim)
    return bool((found.update == true.update).all() and (found.counters == true.counters).all() and found.weight == true.weight)


# A coordinator that shows every holder another surviving set {victim, holder, next}


def views() -> dict[str, tuple[str, ...]]:
    others = [name for name in NAMES if name != VICTIM]
    return {name: tuple(sorted({VICTIM, name, others[(place + 1) % len(others)]})) for place, name in enumerate(others)}


def show_every_holder_another_set(federation: Federation, plan: Plan) -> Vector:
    masked = take_answers(federation, plan)
    answers: dict[str, Shares] = {}
    for holder, survivors in views().items():
        signed = {name: masked[name].agreement for name in survivors}  # the best it has: signatures over the whole cohort
        answers[holder] = federation.institutions[holder].unmask(request(plan, masked, holder, survivors, signed))
    self_seed = opened(plan, {name: answer.self_shares[VICTIM] for name, answer in answers.items()})
    pair_seeds = {
        peer: opened(
            plan, {name: answer.pair_shares[VICTIM, peer] for name, answer in answers.items() if (VICTIM, peer) in answer.pair_shares}
        )
        for peer in NAMES
        if peer != VICTIM
    }
    return unmasked(masked[VICTIM], self_seed, pair_seeds)


def without_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rules, "check_proof", lambda self, request: None)
    monkeypatch.setattr(Rules, "check_survivors", small_sets_allowed(Rules.check_survivors))


Rule = Callable[[Rules, Plan, tuple[str, ...], Graph], None]


def small_sets_allowed(rule: Rule) -> Rule:
    # Only the smallest cohort counts, as it would where nothing ties a set to the threshold.
    return lambda self, plan, survivors, graph: rule(self, replace(plan, threshold=0), survivors, graph)


def test_without_the_agreement_the_victim_lies_open(monkeypatch: pytest.MonkeyPatch) -> None:
    without_agreement(monkeypatch)
    federation = Federation(NAMES)
    plan = federation.plan()
    assert lies_open(show_every_holder_another_set(federation, plan), plan, VICTIM)


def test_sets_below_the_threshold_are_refused() -> None:
    federation = Federation(NAMES)
    with pytest.raises(IllegalPlan, match="3 survivors are fewer than 5"):
        show_every_holder_another_set(federation, federation.plan())


def test_sets_without_their_own_signatures_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rules, "check_survivors", small_sets_allowed(Rules.check_survivors))
    federation = Federation(NAMES)
    plan = federation.plan()
    masked = take_answers(federation, plan)
    holder, survivors = "i1", views()["i1"]
    with pytest.raises(UnprovenSet, match="'i1' refused to unmask round 1: 0 signatures over the surviving set, 5 are needed"):
        federation.institutions[holder].unmask(request(plan, masked, holder, survivors, {}))


def test_two_sets_cannot_both_be_signed() -> None:
    federation = Federation(NAMES)
    plan = federation.plan()
    take_answers(federation, plan)
    one, other = NAMES[:6], NAMES[2:]
    signed: dict[tuple[str, ...], list[str]] = {one: [], other: []}
    for name in NAMES:
        for survivors in (one, other) if name < "i4" else (other, one):
            try:
                federation.institutions[name].agree(AgreeRequest(plan, survivors))
            except EquivocatedSet:
                continue
            signed[survivors].append(name)
    # Each signed once, so the two lists together have no more names than there are institutions.
    assert sorted(signed[one] + signed[other]) == sorted(NAMES)
    assert min(len(names) for names in signed.values()) < plan.threshold


# A threshold that does not withstand collusion: the whole view from one half, a smaller one from the other


def show_two_views(federation: Federation, plan: Plan) -> Vector:
    """Four institutions, ``i3`` colludes: ``i0`` answers for the whole cohort, ``i1`` and ``i2`` for the set without ``i0``."""
    masked = take_answers(federation, plan)
    everyone, smaller = plan.cohort, ("i1", "i2", "i3")
    before = federation.institutions["i3"].export()
    whole = {name: masked[name].agreement for name in everyone}
    answers = {name: federation.institutions[name].unmask(request(plan, masked, name, everyone, whole)) for name in ("i0", "i3")}
    federation.institutions["i3"] = turned_back(federation, "i3", before)  # a colluder answers as often as it likes
    signed = {name: federation.institutions[name].agree(AgreeRequest(plan, smaller)).signature for name in smaller}
    others = {name: federation.institutions[name].unmask(request(plan, masked, name, smaller, signed)) for name in smaller}
    self_seed = opened(plan, {name: answer.self_shares["i0"] for name, answer in answers.items()})
    pair_seeds = {peer: opened(plan, {name: answer.pair_shares[peer, "i0"] for name, answer in others.items()}) for peer in smaller}
    return unmasked(masked["i0"], self_seed, pair_seeds)


def turned_back(federation: Federation, name: str, state: bytes) -> InstitutionEpoch:
    return InstitutionEpoch.restore(state, identity=federation.identities[name], roster=federation.roster, policy=federation.policy)


def test_with_a_low_threshold_two_views_open_the_victim_although_all_is_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("rules", "legality"):
        monkeypatch.setattr(f"shared.secagg.{module}.threshold_for", lambda size, collusion: 2)
    federation = Federation(NAMES[:4])
    plan = federation.plan(threshold=2)
    assert lies_open(show_two_views(federation, plan), plan, "i0")


def test_the_low_threshold_is_refused() -> None:
    federation = Federation(NAMES[:4])
    with pytest.raises(IllegalPlan, match="a threshold of 2 does not go with a cohort of 4 and 0 colluding"):
        show_two_views(federation, federation.plan(threshold=2, collusion=0))


def test_with_the_right_threshold_the_shares_do_not_suffice() -> None:
    federation = Federation(NAMES[:4])
    with pytest.raises(AssertionError, match="too few shares to open a seed"):
        show_two_views(federation, federation.plan())


def test_who_signed_a_smaller_set_gives_nothing_for_the_whole_one() -> None:
    federation = Federation(NAMES[:4])
    plan = federation.plan()
    masked = take_answers(federation, plan)
    federation.institutions["i1"].agree(AgreeRequest(plan, ("i1", "i2", "i3")))
    whole = {name: masked[name].agreement for name in plan.cohort}
    with pytest.raises(EquivocatedSet, match="'i1' has signed the surviving set i1, i2, i3 for round 1 and refuses another"):
        federation.institutions["i1"].unmask(request(plan, masked, "i1", plan.cohort, whole))
