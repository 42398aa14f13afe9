"""What a sparse graph needs beyond a complete one: one view only, and survivors that hang together.

Both attacks here are by the coordinator alone. Each works once its defence is taken out, and is refused otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache

import numpy as np
import pytest

from shared.secagg.errors import EquivocatedSet, IllegalPlan, UnprovenSet, VoidRound
from shared.secagg.graph import Graph
from shared.secagg.masks import Mask, apply, inverse, pair_mask
from shared.secagg.messages import AgreeRequest, Masked, Plan, Shares, UnmaskRequest
from shared.secagg.rules import SecaggPolicy
from shared.secagg.shamir import reconstruct
from shared.secagg.signing import agreement_bytes, round_context, sign
from tests.support.secagg import Federation, Vector, vector_of

NAMES = tuple(f"i{index:02d}" for index in range(70))
ALONE = SecaggPolicy(smallest_cohort=3, collusion=0, longest_clip_norm=10.0, most_rounds=1000)


class Attacker:
    """A coordinator that has everyone's masked answer to a plan and asks whom it likes what it likes."""

    def __init__(self) -> None:
        self.federation = Federation(NAMES, ALONE)
        self.plan: Plan = self.federation.plan()
        self.graph = Graph(self.federation.keys, self.plan.degree)
        self.masked: dict[str, Masked] = {name: self.federation.mask(self.plan, name) for name in NAMES}
        self.circle = circle_of(self.graph)

    def ask(self, holder: str, survivors: tuple[str, ...], signed: Mapping[str, bytes]) -> Shares:
        dealers = [name for name in self.graph.holders(holder, survivors) if name != holder]
        shares = {dealer: self.masked[dealer].shares[holder] for dealer in dealers}
        return self.federation.institutions[holder].unmask(UnmaskRequest(self.plan, survivors, signed, shares))

    def agreed(self, survivors: tuple[str, ...], signers: Collection[str]) -> dict[str, bytes]:
        request = AgreeRequest(self.plan, survivors)
        return {name: self.federation.institutions[name].agree(request).signature for name in sorted(signers)}

    def open(self, dealer: str, shares: Mapping[str, bytes]) -> bytes:
        """A seed from the shares of a threshold of its dealer's holders."""
        chosen = sorted(shares)[: self.plan.share_threshold]
        assert len(chosen) == self.plan.share_threshold, "too few shares to open a seed"
        holders = self.graph.neighbourhood(dealer)
        rows = np.frombuffer(b"".join(shares[name] for name in chosen), np.uint8).reshape(len(chosen), 1, 32)
        return reconstruct([holders.index(name) for name in chosen], rows).tobytes()

    def unmasked(self, victim: str, self_seed: bytes, pair_seeds: Mapping[str, bytes]) -> Vector:
        answer = self.masked[victim]
        update, counters = answer.update.copy(), answer.counters.copy()
        masks = [Mask(self_seed, True), *(pair_mask(victim, peer, seed) for peer, seed in pair_seeds.items())]
        apply(update, counters, [inverse(mask) for mask in masks])
        return Vector(update, counters[2:], int(counters[1]))

    def lies_open(self, victim: str, found: Vector) -> bool:
        true = vector_of(self.plan, victim)
        return bool((found.update == true.update).all() and (found.counters == true.counters).all() and found.weight == true.weight)


@cache
def circle_of(graph: Graph) -> tuple[str, ...]:
    return tuple(graph._circle)


def around(attacker: Attacker, place: int, reach: int) -> list[str]:
    return [attacker.circle[(place + step) % len(NAMES)] for step in range(-reach, reach + 1)]


# Half a neighbourhood answers for the whole cohort, its neighbours' own neighbourhoods for a smaller set


def show_half_a_neighbourhood_the_whole(attacker: Attacker, whole: Mapping[str, bytes]) -> Vector:
    victim, half = attacker.circle[0], attacker.plan.degree // 2
    near = around(attacker, 0, half)
    # As few holders of the victim's seed as are needed, itself and the farthest on both sides among them.
    first = [*near[: attacker.plan.share_threshold - 2], victim, near[-1]]
    smaller = tuple(name for name in NAMES if name != victim)
    for_self = {name: attacker.ask(name, NAMES, whole).self_shares[victim] for name in first}
    others = [name for name in smaller if name not in first]
    signed = attacker.agreed(smaller, others)
    answers = {name: attacker.ask(name, smaller, signed) for name in others}
    pair_seeds = {}
    for peer in near:
        if peer != victim:
            shares = {name: answer.pair_shares[peer, victim] for name, answer in answers.items() if (peer, victim) in answer.pair_shares}
            pair_seeds[peer] = attacker.open(peer, shares)
    return attacker.unmasked(victim, attacker.open(victim, for_self), pair_seeds)


def test_signatures_in_advance_would_open_a_victim() -> None:
    attacker = Attacker()
    # What a Train answer holds on a complete graph: everyone's signature that the whole cohort survived.
    content = agreement_bytes(round_context(attacker.plan), NAMES)
    whole = {name: sign(attacker.federation.identities[name], content) for name in NAMES}
    found = show_half_a_neighbourhood_the_whole(attacker, dict(list(whole.items())[: attacker.plan.threshold]))
    assert attacker.lies_open(attacker.circle[0], found)


def test_nothing_is_signed_in_advance_on_a_sparse_graph() -> None:
    attacker = Attacker()
    assert {answer.agreement for answer in attacker.masked.values()} == {b""}
    with pytest.raises(UnprovenSet, match="0 signatures over the surviving set, 36 are needed"):
        attacker.ask("i00", NAMES, {})


def test_the_whole_and_a_smaller_set_cannot_both_be_signed() -> None:
    attacker = Attacker()
    smaller = NAMES[1:]
    whole = attacker.agreed(NAMES, NAMES[:36])
    with pytest.raises(EquivocatedSet, match="'i05' has signed the surviving set"):
        attacker.agreed(smaller, [NAMES[5]])
    rest = attacker.agreed(smaller, NAMES[36:])
    assert len(whole) == attacker.plan.threshold > len(rest)
    with pytest.raises(UnprovenSet, match="34 signatures over the surviving set, 36 are needed"):
        attacker.ask(NAMES[40], smaller, rest)


# All neighbours of a victim are said to be lost


def cut_off(attacker: Attacker) -> tuple[str, tuple[str, ...]]:
    victim, near = attacker.circle[0], around(attacker, 0, attacker.plan.degree // 2)
    return victim, tuple(name for name in NAMES if name == victim or name not in near)


def test_without_the_check_that_survivors_hang_together_a_sum_of_one_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.secagg.rules.check_together", lambda *arguments: None)
    attacker = Attacker()
    victim, survivors = cut_off(attacker)
    signed = dict(list(attacker.agreed(survivors, survivors).items())[: attacker.plan.threshold])
    answers = {name: attacker.ask(name, survivors, signed) for name in survivors}
    # Its holders are lost, so only it gives shares of its seeds; one colluding neighbourhood more and it lies open. What is left
    # between it and that is the share threshold alone: no mask with a survivor remains.
    assert set(answers[victim].self_shares) == {victim}
    assert {peer for _, peer in answers[victim].pair_shares} == set(attacker.graph.neighbourhood(victim)) - {victim}


def test_a_set_that_cuts_a_victim_off_is_refused() -> None:
    attacker = Attacker()
    victim, survivors = cut_off(attacker)
    with pytest.raises(
        IllegalPlan, match=f"institution '{victim}' refused the surviving set of round 1: 0 colluding institutions could part it"
    ):
        attacker.agreed(survivors, [victim])


def test_a_part_of_the_circle_cannot_be_cut_off_either(monkeypatch: pytest.MonkeyPatch) -> None:
    attacker = Attacker()
    half = attacker.plan.degree // 2
    gone = {*attacker.circle[:half], *attacker.circle[35 : 35 + half]}
    survivors = tuple(name for name in NAMES if name not in gone)
    with pytest.raises(IllegalPlan, match="too many neighbours in a row are missing"):
        attacker.agreed(survivors, [survivors[0]])
    # Without the check both parts are opened, each a sum of its own.
    monkeypatch.setattr("shared.secagg.rules.check_together", lambda *arguments: None)
    monkeypatch.setattr("shared.secagg.coordinator.check_together", lambda *arguments: None)
    other = Attacker()
    made = other.federation.coordinator(other.plan)
    for name in survivors:
        made.add(other.masked[name])
    made.close()
    other.federation.agree(made)
    other.federation.unmask(made)
    made.finish()
    one_part = [name for name in survivors if name in set(other.circle[half:35])]
    update = sum(other.masked[name].update.astype(np.int64) for name in one_part)
    seeds = recovered_seeds(other, made, one_part)
    total, counters = update.astype(np.uint16), sum(other.masked[name].counters for name in one_part)
    apply(total, counters, [inverse(mask) for mask in seeds])
    assert (total == sum(vector_of(other.plan, name).update for name in one_part)).all()


def recovered_seeds(attacker: Attacker, made: object, part: list[str]) -> list[Mask]:
    from shared.secagg.dealing import SELF
    from shared.secagg.recovery import recover

    secrets = [(dealer, peer) for dealer in part for peer in (SELF, *made._lost_of(dealer))]  # type: ignore[attr-defined]
    committed = {(dealer, peer): made._commitments[dealer][peer] for dealer, peer in secrets}  # type: ignore[attr-defined]
    found = recover(attacker.plan, round_context(attacker.plan), made._answers, committed, made._holders)  # type: ignore[attr-defined]
    return [Mask(seed, True) if peer == SELF else pair_mask(dealer, peer, seed) for (dealer, peer), seed in found.seeds.items()]


def test_the_coordinator_voids_such_a_round_itself() -> None:
    attacker = Attacker()
    _, survivors = cut_off(attacker)
    made = attacker.federation.coordinator(attacker.plan)
    for name in survivors:
        made.add(attacker.masked[name])
    with pytest.raises(VoidRound, match="too many neighbours of"):
        made.close()
