"""The coordinator's side of one round: it adds masked vectors as they arrive and learns their sum, or nothing.

Memory is O(d + n·m): one running sum, and the sealed shares and commitments of the cohort; no institution's vector is kept.
Whatever an institution sends that is wrong raises a typed error that names it, and the round goes on without it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shared.secagg.encoding import DTYPES, centred
from shared.secagg.errors import (
    EquivocatedSet,
    ForgedMessage,
    IllegalVector,
    ReplayedRound,
    UnprovenSet,
    VoidRound,
    WrongRoster,
    WrongShare,
)
from shared.secagg.masks import add_mask
from shared.secagg.messages import Aggregate, Agreement, AgreeRequest, EpochKey, Masked, Plan, Shares, UnmaskRequest
from shared.secagg.plans import check_plan
from shared.secagg.recovery import Recovery
from shared.secagg.roster import Roster
from shared.secagg.signing import agreement_bytes, epoch_key_bytes, masked_bytes, round_context, shares_bytes, verify

__all__ = ["CoordinatorRound"]


class CoordinatorRound:
    """The coordinator's state machine: ``add`` each answer, ``close``, perhaps agree, collect shares, ``finish``."""

    def __init__(self, plan: Plan, keys: Sequence[EpochKey], roster: Roster) -> None:
        """Raises the same typed errors for an illegal plan or key that an institution would."""
        check_plan(plan, roster, plan.collusion)
        self._plan = plan
        self._roster = roster
        self._check_keys(keys)
        self._context = round_context(plan)
        self._update = np.zeros(plan.layout.update_words, DTYPES[plan.layout.width])
        self._counters = np.zeros(plan.layout.counters + 2, np.uint64)
        self._sealed: dict[str, dict[str, bytes]] = {}
        self._commitments: dict[str, dict[str, bytes]] = {}
        self._whole: dict[str, bytes] = {}
        self._agreements: dict[str, bytes] = {}
        self._answers: dict[str, Shares] = {}
        self._survivors: tuple[str, ...] = ()

    # Train

    def add(self, masked: Masked) -> None:
        """Adds an institution's masked answer to the running sum.

        Raises :class:`WrongRoster`, :class:`ForgedMessage`, :class:`ReplayedRound` or :class:`IllegalVector`, naming it.
        """
        who, plan = masked.institution, self._plan
        self._check_sender(who, masked.context)
        if self._survivors:
            raise ReplayedRound(f"'{who}' answered round {plan.round} after its surviving set was closed")
        if who in self._sealed:
            raise ReplayedRound(f"'{who}' answered round {plan.round} twice")
        verify(self._roster.members[who], masked.signature, masked_bytes(masked), f"the answer of '{who}' to round {plan.round}")
        self._check_shape(masked)
        verify(self._roster.members[who], masked.agreement, agreement_bytes(self._context, plan.cohort), f"the agreement of '{who}'")
        self._update += masked.update
        self._counters += masked.counters
        self._sealed[who] = dict(masked.shares)
        self._commitments[who] = dict(masked.commitments)
        self._whole[who] = masked.agreement

    def close(self) -> tuple[str, ...]:
        """No more answers: the surviving set. Raises :class:`VoidRound` if it is smaller than the threshold."""
        survivors = tuple(sorted(self._sealed))
        if len(survivors) < max(self._plan.threshold, 2):
            lost = ", ".join(sorted(set(self._plan.cohort) - set(survivors)))
            found, size, number = len(survivors), len(self._plan.cohort), self._plan.round
            raise VoidRound(f"{found} of {size} answered round {number}, {self._plan.threshold} are needed; lost: {lost}")
        self._survivors = survivors
        return survivors

    @property
    def whole(self) -> bool:
        """Whether the whole cohort survived, so that nobody needs to agree on a smaller set."""
        return self._survivors == self._plan.cohort

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
        verify(self._roster.members[who], agreement.signature, content, f"the agreement of '{who}' on round {self._plan.round}")
        self._agreements[who] = agreement.signature

    # Unmask

    def unmask_request(self, institution: str) -> UnmaskRequest:
        """The proven set and the shares sealed to ``institution``. Raises :class:`VoidRound` for too few signatures."""
        proofs = self._whole if self.whole else self._agreements
        if len(proofs) < self._plan.threshold:
            raise VoidRound(f"{len(proofs)} signed the surviving set of round {self._plan.round}, {self._plan.threshold} are needed")
        if institution not in self._survivors:
            raise UnprovenSet(f"'{institution}' is not among the survivors of round {self._plan.round}")
        shares = {dealer: self._sealed[dealer][institution] for dealer in self._survivors if dealer != institution}
        return UnmaskRequest(self._plan, self._survivors, dict(sorted(proofs.items())), shares)

    def add_shares(self, shares: Shares) -> None:
        """Takes a survivor's opened shares. Raises :class:`ForgedMessage` or :class:`WrongShare`, naming it."""
        who = shares.institution
        self._check_sender(who, shares.context)
        if who not in self._survivors or who in self._answers:
            raise ReplayedRound(f"'{who}' gave shares of round {self._plan.round} unasked or twice")
        verify(self._roster.members[who], shares.signature, shares_bytes(shares), f"the shares of '{who}' of round {self._plan.round}")
        lost = set(self._plan.cohort) - set(self._survivors)
        pairs = {(survivor, gone) for survivor in self._survivors for gone in lost}
        if set(shares.self_shares) != set(self._survivors) or set(shares.pair_shares) != pairs:
            raise WrongShare(f"'{who}' gave shares of round {self._plan.round} for others than it was asked for")
        self._answers[who] = shares

    @property
    def enough(self) -> bool:
        """Whether the threshold of shares is there; more only help to name a wrong one."""
        return len(self._answers) >= self._plan.threshold

    def finish(self) -> Aggregate:
        """Takes the masks off the sum. Raises :class:`VoidRound` if that cannot be done, or if the control sums are wrong."""
        if not self.enough:
            raise VoidRound(f"{len(self._answers)} gave shares of round {self._plan.round}, {self._plan.threshold} are needed")
        recovery = Recovery(self._plan, self._context, self._answers)
        update, counters = self._update.copy(), self._counters.copy()
        for survivor in self._survivors:
            seed = recovery.seed(survivor, "", self._commitments[survivor][""])
            add_mask(update, counters, seed, sign=-1)
            for gone in set(self._plan.cohort) - set(self._survivors):
                seed = recovery.seed(survivor, gone, self._commitments[survivor][gone])
                add_mask(update, counters, seed, sign=-1 if gone > survivor else 1)
        return self._checked(update, counters, recovery.blamed)

    def _checked(self, update: NDArray[np.unsignedinteger], counters: NDArray[np.uint64], blamed: tuple[str, ...]) -> Aggregate:
        # The control coordinates: a wrong mask, a wrong weight or a forgotten vector shows here, never in the student.
        survivors, weight, number = len(self._survivors), int(counters[1]), self._plan.round
        if int(counters[0]) != survivors:
            raise VoidRound(
                f"the control sum of round {number} does not count its {survivors} survivors; somebody's masks or vector were wrong"
            )
        if not survivors <= weight <= survivors * self._plan.weight_cap:
            raise VoidRound(
                f"the sum of weights of round {number} is outside its legal range; somebody claimed a weight that is not allowed"
            )
        return Aggregate(self._survivors, weight, centred(update), counters[2:], blamed)

    # Checks

    def _check_keys(self, keys: Sequence[EpochKey]) -> None:
        plan = self._plan
        for key in keys:
            if key.institution not in self._roster.members:
                raise WrongRoster(f"an epoch key is of '{key.institution}', who is not on the roster")
            if (key.run, key.epoch, key.roster_digest) != (plan.run, plan.epoch, plan.roster_digest):
                raise WrongRoster(f"the epoch key of '{key.institution}' is of another run, epoch or roster")
            verify(self._roster.members[key.institution], key.signature, epoch_key_bytes(key), f"the epoch key of '{key.institution}'")
        missing = sorted(set(plan.cohort) - {key.institution for key in keys})
        if missing:
            raise WrongRoster(f"round {plan.round} plans members without an epoch key: {', '.join(missing)}")

    def _check_sender(self, who: str, context: bytes) -> None:
        if who not in self._plan.cohort:
            raise WrongRoster(f"'{who}' is not in the cohort of round {self._plan.round}")
        if context != self._context:
            raise ForgedMessage(f"the answer of '{who}' is not to this plan of round {self._plan.round}")

    def _check_shape(self, masked: Masked) -> None:
        who, plan = masked.institution, self._plan
        if masked.update.dtype != self._update.dtype or masked.update.shape != self._update.shape:
            raise IllegalVector(
                f"'{who}' sent {masked.update.size} words of {masked.update.dtype} in round {plan.round}, planned are {self._update.size}"
            )
        if masked.counters.dtype != np.uint64 or masked.counters.shape != self._counters.shape:
            raise IllegalVector(f"'{who}' sent {masked.counters.size} counters in round {plan.round}, planned are {self._counters.size}")
        others = set(plan.cohort) - {who}
        if set(masked.shares) != others or set(masked.commitments) != others | {""}:
            raise IllegalVector(f"'{who}' sent shares or commitments for others than the cohort of round {plan.round}")
