"""The coordinator's side of one round: it adds masked vectors as they arrive and learns their sum, or nothing.

Memory is O(d + n·m): one running sum, and the sealed shares and commitments of the cohort; no institution's vector is kept.
Whatever an institution sends that is wrong raises a typed error that names it, changes nothing, and the round goes on without it.

What the coordinator can find out about a liar: a wrong share (against the commitment), a commitment that its peers contradict, a
weight or a sum out of range. What nobody can find out behind masks: whether an update within its range was honestly trained.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.secagg import fragments
from shared.secagg.dealing import SELF
from shared.secagg.encoding import DTYPES, centred, control_words, level_of, noise_tail, prove_headroom
from shared.secagg.errors import (
    EquivocatedSet,
    ForgedMessage,
    IllegalPlan,
    IllegalVector,
    ReplayedRound,
    UnprovenSet,
    VoidRound,
    WrongRoster,
    WrongShare,
)
from shared.secagg.fragments import cells
from shared.secagg.graph import Graph
from shared.secagg.keys import KEY_BYTES
from shared.secagg.legality import check_cohort, check_graph, check_together
from shared.secagg.masks import Mask, apply, inverse, pair_mask
from shared.secagg.messages import Aggregate, Agreement, AgreeRequest, EpochKey, Masked, Plan, Shares, UnmaskRequest, Words
from shared.secagg.recovery import Secret, culprits, recover
from shared.secagg.roster import Roster
from shared.secagg.seals import COMMITMENT_BYTES, OVERHEAD_BYTES
from shared.secagg.signing import agreement_bytes, keys_digest, masked_bytes, round_context, shares_bytes, verify_epoch_keys, verify_member

__all__ = ["CoordinatorRound"]


class CoordinatorRound:
    """The coordinator's state machine: :meth:`add` each answer, :meth:`close`, perhaps agree, :meth:`add_shares`, :meth:`finish`."""

    def __init__(self, plan: Plan, keys: Sequence[EpochKey], roster: Roster) -> None:
        """Raises the same typed errors for an illegal plan or key that an institution would."""
        if plan.roster_digest != roster.digest:
            raise WrongRoster(f"round {plan.round} is planned for another roster than the coordinator's own")
        check_cohort(plan, roster)
        prove_headroom(plan)
        verify_epoch_keys(keys, roster)
        missing = sorted(set(plan.cohort) - {key.institution for key in keys if (key.run, key.epoch) == (plan.run, plan.epoch)})
        if missing:
            raise WrongRoster(f"round {plan.round} plans members without a key of epoch {plan.epoch}: {', '.join(missing)}")
        if plan.keys_digest != keys_digest(keys):
            raise ForgedMessage(f"round {plan.round} is planned for other keys than those of epoch {plan.epoch}")
        self._graph = Graph(keys, plan.degree)
        check_graph(plan, self._graph, len(keys), plan.collusion, f"round {plan.round} cannot be")
        self._plan, self._roster, self._context = plan, roster, round_context(plan)
        cohort = frozenset(plan.cohort)
        self._holders = {name: self._graph.holders(name, cohort) for name in plan.cohort}
        self._update: Words = np.zeros(plan.layout.update_words, DTYPES[plan.layout.width])
        self._counters = np.zeros(control_words(plan) + plan.layout.counters, np.uint64)
        self._sealed: dict[str, Mapping[str, bytes]] = {}
        self._commitments: dict[str, Mapping[str, bytes]] = {}
        self._contradictions: frozenset[tuple[str, str]] = frozenset()
        self._whole: dict[str, bytes] = {}
        self._agreements: dict[str, bytes] = {}
        self._answers: dict[str, Shares] = {}
        self._survivors: tuple[str, ...] = ()

    # Train

    def add(self, masked: Masked) -> None:
        """Adds an institution's masked answer to the running sum.

        Raises :class:`WrongRoster`, :class:`ForgedMessage`, :class:`ReplayedRound`, :class:`IllegalVector`, or :class:`WrongShare`
        if more peers contradict its commitments than may be lying; it is left out then.
        """
        who, plan = masked.institution, self._plan
        self._check_sender(who, masked.context)
        if self._survivors or who in self._sealed:
            raise ReplayedRound(
                f"'{who}' answered round {plan.round} {'after its surviving set was closed' if self._survivors else 'twice'}"
            )
        # Signature first: nobody is blamed for what it did not send.
        verify_member(self._roster, who, masked.signature, masked_bytes(masked), f"the masked answer to round {plan.round}")
        self._check_vectors(masked)
        self._check_parts(masked)
        if not plan.degree:
            content = agreement_bytes(self._context, plan.cohort)
            verify_member(self._roster, who, masked.agreement, content, "the agreement on the whole cohort")
        contradicted = self._contradicted(masked)
        np.add(self._update, masked.update, out=self._update)
        np.add(self._counters, masked.counters, out=self._counters)
        self._contradictions |= contradicted
        self._sealed[who], self._commitments[who] = dict(masked.shares), dict(masked.commitments)
        self._whole[who] = masked.agreement

    def close(self) -> tuple[str, ...]:
        """No more answers: the surviving set. Raises :class:`VoidRound` if it is too small, or no institution would open it."""
        survivors, plan = tuple(sorted(self._sealed)), self._plan
        if len(survivors) < max(plan.threshold, 2):
            lost = ", ".join(sorted(set(plan.cohort) - set(survivors)))
            raise VoidRound(
                f"{len(survivors)} of {len(plan.cohort)} answered round {plan.round}, {plan.threshold} are needed; lost: {lost}"
            )
        self._check_openable(survivors)
        self._survivors = survivors
        return survivors

    @property
    def whole(self) -> bool:
        """Whether the whole cohort survived and has signed so already, so that nobody needs to be asked to agree."""
        return self._survivors == self._plan.cohort and not self._plan.degree

    # Agree

    def agree_request(self) -> AgreeRequest:
        """What each survivor is asked to sign."""
        return AgreeRequest(self._plan, self._survivors)

    def add_agreement(self, agreement: Agreement) -> None:
        """Takes a survivor's signature. Raises :class:`ForgedMessage` or :class:`EquivocatedSet`, naming it."""
        who = agreement.institution
        self._check_sender(who, agreement.context)
        if agreement.survivors != self._survivors or who not in self._survivors:
            raise EquivocatedSet(f"'{who}' signed another surviving set of round {self._plan.round} than the one it was asked for")
        content = agreement_bytes(self._context, self._survivors)
        verify_member(self._roster, who, agreement.signature, content, f"the agreement on round {self._plan.round}")
        self._agreements[who] = agreement.signature

    # Unmask

    def unmask_request(self, institution: str) -> UnmaskRequest:
        """The proven set and the shares sealed to ``institution``. Raises :class:`VoidRound` for too few signatures."""
        proofs = self._whole if self.whole else self._agreements
        if len(proofs) < self._plan.threshold:
            raise VoidRound(f"{len(proofs)} signed the surviving set of round {self._plan.round}, {self._plan.threshold} are needed")
        if institution not in self._survivors:
            raise UnprovenSet(f"'{institution}' is not among the survivors of round {self._plan.round}")
        shares = {dealer: self._sealed[dealer][institution] for dealer in self._dealers(institution) if dealer != institution}
        needed = len(proofs) if self.whole else self._plan.threshold
        return UnmaskRequest(self._plan, self._survivors, dict(sorted(proofs.items())[:needed]), shares)

    def add_shares(self, shares: Shares) -> None:
        """Takes a survivor's opened shares. Raises :class:`ForgedMessage`, :class:`ReplayedRound` or :class:`WrongShare`, naming it."""
        who, number = shares.institution, self._plan.round
        self._check_sender(who, shares.context)
        if who not in self._survivors or who in self._answers:
            raise ReplayedRound(f"'{who}' gave shares of round {number} unasked or twice")
        verify_member(self._roster, who, shares.signature, shares_bytes(shares), f"the answer to Unmask of round {number}")
        dealers = self._dealers(who)
        pairs = {(dealer, gone) for dealer in dealers for gone in self._lost_of(dealer)}
        if set(shares.self_shares) != set(dealers) or set(shares.pair_shares) != pairs:
            raise WrongShare(f"'{who}' gave shares of round {number} for others than it was asked for")
        if any(len(share) != KEY_BYTES for share in (*shares.self_shares.values(), *shares.pair_shares.values())):
            raise WrongShare(f"'{who}' gave a share of round {number} that has not {KEY_BYTES} bytes")
        self._answers[who] = shares

    @property
    def enough(self) -> bool:
        """Whether the threshold of shares is there of every survivor's seeds; more help to find and name a wrong one."""
        return not self._short_of_shares()

    def finish(self) -> Aggregate:
        """Takes the masks off the sum; may be called again when more shares have come.

        Raises :class:`VoidRound` if that cannot be done, or if the control coordinates or the sum are not what they must be.
        """
        for dealer, given in self._short_of_shares().items():
            needed = self._plan.share_threshold
            raise VoidRound(f"{given} gave shares of the seeds of '{dealer}' in round {self._plan.round}, {needed} are needed")
        secrets = [(dealer, peer) for dealer in self._survivors for peer in (SELF, *self._lost_of(dealer))]
        committed = {(dealer, peer): self._commitments[dealer][peer] for dealer, peer in secrets}
        recovered = recover(self._plan, self._context, self._answers, committed, self._holders)
        update, counters = self._update.copy(), self._counters.copy()
        apply(update, counters, [inverse(_mask(secret, seed)) for secret, seed in recovered.seeds.items()])
        return self._checked(update, counters, recovered.wrong | self._contradictions)

    def _checked(self, update: Words, counters: NDArray[np.uint64], at_odds: frozenset[tuple[str, str]]) -> Aggregate:
        # The control coordinates: a wrong mask, a wrong weight or a forgotten vector shows here, never in the student.
        plan, survivors, weight = self._plan, len(self._survivors), int(counters[1])
        blamed, doubted = culprits(at_odds, plan.collusion)
        suspects = f"; suspected: {', '.join(sorted({*blamed, *itertools.chain(*doubted)}))}" if at_odds else ""
        if int(counters[0]) != survivors:
            raise VoidRound(
                f"the control sum of round {plan.round} does not count its {survivors} survivors: a vector or mask was wrong{suspects}"
            )
        if not survivors <= weight <= survivors * plan.weight_cap:
            raise VoidRound(
                f"the weights of round {plan.round} sum to {weight}, outside their legal range: somebody claimed a wrong weight{suspects}"
            )
        cell_weights = tuple(int(part) for part in counters[2 : control_words(plan)]) or (weight,)
        for complaint in self._sum_complaints(centred(update), cell_weights):
            raise VoidRound(f"the sum of round {plan.round} {complaint}{suspects}")
        return Aggregate(self._survivors, weight, centred(update), counters[control_words(plan) :], cell_weights, blamed, doubted)

    def _sum_complaints(self, sums: NDArray[np.signedinteger[Any]], cell_weights: tuple[int, ...]) -> Iterator[str]:
        plan, survivors = self._plan, set(self._survivors)
        for cell, weight in zip(cells(plan), cell_weights, strict=True):
            part, count = cell.take(sums), 0 if cell.silent else len(survivors & set(cell.members))
            if part.size and max(int(part.max()), -int(part.min())) > count * level_of(plan) + noise_tail(plan):
                yield "is beyond what clipped updates can reach: somebody's was not clipped, or not within its fragment"
            if plan.fragments and not count <= weight <= count * plan.weight_cap:
                yield f"has a weight of {weight} behind a fragment that {count} trained: somebody claimed a wrong weight"

    # Checks

    def _dealers(self, holder: str) -> tuple[str, ...]:
        # Neighbours are so mutually: whom a holder's bundles come from is whom its own go to.
        return tuple(name for name in self._holders[holder] if name in self._sealed)

    def _lost_of(self, dealer: str) -> tuple[str, ...]:
        return tuple(name for name in self._holders[dealer] if name not in self._sealed)

    def _short_of_shares(self) -> dict[str, int]:
        given = {dealer: sum(holder in self._answers for holder in self._holders[dealer]) for dealer in self._survivors}
        return {dealer: count for dealer, count in given.items() if count < self._plan.share_threshold}

    def _check_openable(self, survivors: tuple[str, ...]) -> None:
        plan = self._plan
        for cell in fragments.thin(plan, survivors) if plan.fragments else ():
            raise VoidRound(
                f"too many were lost in round {plan.round}: fewer than {plan.smallest_cohort} are left of those who trained coordinate "
                f"{cell.ranges[0][0]}"
            )
        for dealer in survivors:
            if len(self._dealers(dealer)) < plan.share_threshold:
                raise VoidRound(f"too many neighbours of '{dealer}' were lost in round {plan.round} for its masks to be taken off")
        try:
            check_together(plan, self._graph, survivors, plan.collusion, f"the surviving set of round {plan.round} cannot be opened")
        except IllegalPlan as error:
            raise VoidRound(str(error)) from error

    def _check_sender(self, who: str, context: bytes) -> None:
        if who not in self._plan.cohort:
            raise WrongRoster(f"'{who}' is not in the cohort of round {self._plan.round}")
        if context != self._context:
            raise ForgedMessage(f"the answer of '{who}' is not to this plan of round {self._plan.round}")

    def _check_vectors(self, masked: Masked) -> None:
        for what, sent, planned in (("update", masked.update, self._update), ("counter", masked.counters, self._counters)):
            if sent.dtype != planned.dtype or sent.shape != planned.shape:
                raise IllegalVector(
                    f"'{masked.institution}' sent {sent.size} {what} words of {sent.dtype} in round {self._plan.round}; "
                    f"planned are {planned.size} of {planned.dtype}"
                )

    def _check_parts(self, masked: Masked) -> None:
        who, number = masked.institution, self._plan.round
        others = set(self._holders[who]) - {who}
        if set(masked.shares) != others or set(masked.commitments) != others | {SELF}:
            raise IllegalVector(f"'{who}' sent shares or commitments for others than its neighbours in the cohort of round {number}")
        sealed = len(self._holders[who]) * KEY_BYTES + OVERHEAD_BYTES
        if any(len(share) != sealed for share in masked.shares.values()):
            raise IllegalVector(f"'{who}' sent a sealed share of round {number} that has not {sealed} bytes")
        if any(len(commitment) != COMMITMENT_BYTES for commitment in masked.commitments.values()):
            raise IllegalVector(f"'{who}' sent a commitment of round {number} that has not {COMMITMENT_BYTES} bytes")

    def _contradicted(self, masked: Masked) -> frozenset[tuple[str, str]]:
        # Both ends commit to the same pair seed in the same way. Up to c others may lie; if more disagree, it is the newcomer.
        who = masked.institution
        against = {peer for peer in self._dealers(who) if self._commitments[peer][who] != masked.commitments[peer]}
        if len(against) > self._plan.collusion:
            raise WrongShare(
                f"'{who}' committed to other pair seeds in round {self._plan.round} than {', '.join(sorted(against))} did; it is left out"
            )
        return frozenset((peer, who) for peer in against)


def _mask(secret: Secret, seed: bytes) -> Mask:
    dealer, peer = secret
    return Mask(seed, True) if peer == SELF else pair_mask(dealer, peer, seed)
