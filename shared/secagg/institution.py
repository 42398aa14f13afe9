"""An institution's side of one epoch: it gives a key, masks its vector each round, and helps to unmask the sum once.

Why a coordinator that lies learns only one sum a round. Let ``m`` be the cohort's size, ``t`` the threshold, ``c`` the number
of institutions that collude with the coordinator, and ``2t > m + c``. Assumed: signatures cannot be forged, the roster that
each institution pinned is the true one, seals and commitments hide, honest institutions' disks do not forget.

1. All honest institutions that answer a round hold the same plan: the plan's digest is in the context that every key, seal
   and signature is bound to, so masks between two of different plans do not cancel and their seals do not open.
2. An institution signs "the whole cohort survived" once, in its masked answer, and at most one smaller set, in Agree. A set
   smaller than the cohort counts only with ``t`` signatures. Two different smaller sets would need ``2t`` signatures, of which
   the ``m − c`` honest ones give at most one each and the ``c`` others two each: ``2t ≤ m + c``, which is excluded. So at most two
   views of a round exist: *whole* and one smaller set ``U``.
3. An institution answers Unmask once a round, for one view, and never gives both kinds of share for one institution. The
   whole view gives shares of self-mask seeds only; ``U`` gives those of its members' self-mask seeds and of the pair seeds
   between ``U`` and the lost. To take one institution's masks off, a coordinator needs its self-mask seed from one view and
   its pair seeds from the other, each from ``t`` holders that answer once: again ``2t ≤ m + c``.

Without Agree, or with a lower threshold, each holder could be shown another set and every seed collected
(``tests/shared/secagg/attacks/test_two_views.py``). Not protected: what the sum itself tells, and two sums over nearly the
same set of the same updates (which is why a void round is trained anew).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from numpy.typing import NDArray

from shared.secagg.encoding import DTYPES, MOST_COUNTER
from shared.secagg.errors import EquivocatedSet, IllegalPlan, IllegalVector, LostEpoch, ReplayedRound, UnprovenSet, WrongRoster, WrongShare
from shared.secagg.keys import commitment, epoch_pair_key, mask_seed, ratchet, seal, unseal
from shared.secagg.masks import SEED_BYTES, add_mask
from shared.secagg.messages import Agreement, AgreeRequest, EpochKey, Masked, Plan, Shares, UnmaskRequest, Words
from shared.secagg.plans import SecaggPolicy, check_plan, check_survivors
from shared.secagg.roster import Roster
from shared.secagg.shamir import share
from shared.secagg.signing import agreement_bytes, epoch_key_bytes, masked_bytes, round_context, shares_bytes, sign, verify
from shared.secagg.state import EpochState, OpenRound

__all__ = ["InstitutionEpoch", "SecaggPolicy"]

Random = Callable[[int], bytes]
CONTROL_COUNTERS = 2


class InstitutionEpoch:
    """The institution's state machine: ``open``, then each round ``check``, ``mask``, perhaps ``agree``, ``unmask``.

    All secrets are in the state that :meth:`export` gives; who keeps it durably before an answer leaves can die at any time.
    """

    def __init__(self, state: EpochState, *, identity: Ed25519PrivateKey, roster: Roster, policy: SecaggPolicy, random: Random) -> None:
        self._state = state
        self._identity = identity
        self._roster = roster
        self._policy = policy
        self._random = random

    @classmethod
    def open(
        cls,
        *,
        institution: str,
        identity: Ed25519PrivateKey,
        roster: Roster,
        run: str,
        epoch: int,
        roster_digest: bytes,
        policy: SecaggPolicy,
        random: Random = os.urandom,
    ) -> Self:
        """A fresh epoch with a fresh X25519 key. Raises :class:`WrongRoster` if the coordinator means another roster."""
        if roster_digest != roster.digest:
            raise WrongRoster(f"the coordinator opened epoch {epoch} for another roster than the one that '{institution}' has pinned")
        if institution not in roster.members:
            raise WrongRoster(f"'{institution}' is not on its own pinned roster; enrol it first")
        private = X25519PrivateKey.from_private_bytes(random(32))
        unsigned = EpochKey(institution, run, epoch, roster_digest, private.public_key().public_bytes_raw(), b"")
        key = EpochKey(institution, run, epoch, roster_digest, unsigned.public_key, sign(identity, epoch_key_bytes(unsigned)))
        state = EpochState(key=key, private=private.private_bytes_raw())
        return cls(state, identity=identity, roster=roster, policy=policy, random=random)

    @classmethod
    def restore(
        cls, state: bytes, *, identity: Ed25519PrivateKey, roster: Roster, policy: SecaggPolicy, random: Random = os.urandom
    ) -> Self:
        """The machine as it was when :meth:`export` gave ``state``. Raises :class:`LostEpoch` for damaged bytes."""
        return cls(EpochState.decode(state), identity=identity, roster=roster, policy=policy, random=random)

    def export(self) -> bytes:
        """Everything that must survive a restart; it holds secrets."""
        return self._state.encode()

    @property
    def key(self) -> EpochKey:
        """The signed public key to give to the coordinator."""
        return self._state.key

    @property
    def _name(self) -> str:
        return self._state.key.institution

    def check(self, plan: Plan, keys: Sequence[EpochKey] | None) -> None:
        """Refuses what :meth:`mask` would refuse, before any training; of the state it only adds peers met for the first time.

        ``keys`` are the signed keys of the whole epoch, needed with its first round.
        Raises the typed errors of :mod:`shared.secagg.errors`.
        """
        self._check_place(plan)
        check_plan(plan, self._roster, self._policy.collusion)
        self._check_policy(plan)
        if keys:
            self._meet(keys)
        missing = [name for name in plan.cohort if name != self._name and name not in self._state.chains]
        if missing:
            raise LostEpoch(f"'{self._name}' was never shown the epoch keys of {', '.join(missing)}; open a new epoch")

    def mask(self, plan: Plan, update: Words, weight: int, counters: NDArray[np.uint64]) -> Masked:
        """The masked answer to a plan, with shares of its seeds sealed to the rest of the cohort.

        ``update (update_words,)`` are ring words, ``counters (counters,)`` non-negative. From here on the round is seen: it
        is never masked a second time. Raises as :meth:`check`, and :class:`IllegalVector`.
        """
        self.check(plan, None)
        self._check_vector(plan, update, weight, counters)
        context = round_context(plan)
        # A peer that missed rounds, or a chain that did, is ratcheted several steps at once.
        chains = {name: ratchet(key, plan.round - at) for name, (at, key) in self._state.chains.items()}
        others = [name for name in plan.cohort if name != self._name]
        seeds = {"": self._random(SEED_BYTES)} | {peer: mask_seed(chains[peer], context, (self._name, peer)) for peer in others}
        words = np.ascontiguousarray(update).copy()
        numbers = np.concatenate([np.array([1, weight], np.uint64), counters.astype(np.uint64)])
        for peer, seed in seeds.items():
            add_mask(words, numbers, seed, sign=1 if peer == "" or peer > self._name else -1)
        sealed = self._deal(plan, context, chains, seeds)
        own = sealed.pop(self._name)
        self._state = self._state.with_round(plan.round, chains, OpenRound(context, own))
        unsigned = Masked(
            institution=self._name,
            context=context,
            update=words,
            counters=numbers,
            shares=sealed,
            commitments={peer: commitment(context, self._name, peer, seed) for peer, seed in seeds.items()},
            agreement=sign(self._identity, agreement_bytes(context, plan.cohort)),
            signature=b"",
        )
        return Masked(**{**unsigned.__dict__, "signature": sign(self._identity, masked_bytes(unsigned))})

    def agree(self, request: AgreeRequest) -> Agreement:
        """Signs a smaller surviving set, one a round, ever. Raises :class:`EquivocatedSet` for a second or an illegal one."""
        plan, survivors = request.plan, request.survivors
        current = self._current(plan)
        self._check_set(plan, survivors)
        if current.agreed not in ((), survivors):
            raise EquivocatedSet(f"'{self._name}' has signed another surviving set of round {plan.round} already and signs one a round")
        if survivors == plan.cohort:
            raise EquivocatedSet(f"the whole cohort of round {plan.round} was signed with the masked answer; there is nothing to agree on")
        self._state = self._state.with_open(current.agreeing(survivors))
        return Agreement(self._name, current.context, survivors, sign(self._identity, agreement_bytes(current.context, survivors)))

    def unmask(self, request: UnmaskRequest) -> Shares:
        """Opens the shares of a proven surviving set, once a round; afterwards the round's keys are gone.

        Raises :class:`UnprovenSet`, :class:`EquivocatedSet`, :class:`WrongShare`, :class:`ReplayedRound`.
        """
        plan, survivors = request.plan, request.survivors
        current = self._current(plan)
        self._check_set(plan, survivors)
        self._check_proof(request, current.context)
        lost = sorted(set(plan.cohort) - set(survivors))
        opened = {dealer: self._open_shares(request, dealer, current) for dealer in survivors}
        unsigned = Shares(
            institution=self._name,
            context=current.context,
            self_shares={dealer: shares[""] for dealer, shares in opened.items()},
            pair_shares={(dealer, gone): opened[dealer][gone] for dealer in survivors for gone in lost},
            signature=b"",
        )
        self._state = self._state.after_round(plan.round)
        return Shares(**{**unsigned.__dict__, "signature": sign(self._identity, shares_bytes(unsigned))})

    # What is refused

    def _check_place(self, plan: Plan) -> None:
        key = self._state.key
        if (plan.run, plan.epoch) != (key.run, key.epoch):
            raise LostEpoch(f"'{self._name}' has no keys for epoch {plan.epoch} of run {plan.run}; open a new epoch")
        if plan.round <= self._state.last_round:
            raise ReplayedRound(f"round {plan.round} is not above round {self._state.last_round}, which '{self._name}' has masked already")
        if self._name not in plan.cohort:
            raise IllegalPlan(f"'{self._name}' is not in the cohort of round {plan.round} that it was asked for")

    def _check_policy(self, plan: Plan) -> None:
        policy, who = self._policy, f"'{self._name}' refused round {plan.round}"
        if len(plan.cohort) < policy.smallest_cohort:
            size = len(plan.cohort)
            raise IllegalPlan(
                f"{who}: a cohort of {size} is below its own smallest cohort {policy.smallest_cohort} (policy.smallest_cohort)"
            )
        if plan.clip_norm > policy.longest_clip_norm:
            raise IllegalPlan(
                f"{who}: a clip norm of {plan.clip_norm:g} is above its own {policy.longest_clip_norm:g} (policy.longest_clip_norm)"
            )
        if plan.round > policy.most_rounds:
            raise IllegalPlan(f"{who}: it is above its own most rounds {policy.most_rounds} (policy.most_rounds)")

    def _check_vector(self, plan: Plan, update: Words, weight: int, counters: NDArray[np.uint64]) -> None:
        layout = plan.layout
        if update.shape != (layout.update_words,) or update.dtype != DTYPES[layout.width]:
            raise IllegalVector(
                f"round {plan.round} plans {layout.update_words} words of {layout.width} bits; the update is {update.shape} {update.dtype}"
            )
        if counters.shape != (layout.counters,):
            raise IllegalVector(f"round {plan.round} plans {layout.counters} counters; there are {counters.shape}")
        if not 1 <= weight <= plan.weight_cap:
            raise IllegalVector(f"a weight of {weight} is outside 1 to {plan.weight_cap} in round {plan.round}")
        if counters.size and int(counters.max()) >= MOST_COUNTER // len(plan.cohort):
            raise IllegalVector(
                f"a counter of round {plan.round} is too large for its sum to stay below 2^62; scale the records' values down"
            )

    def _check_set(self, plan: Plan, survivors: tuple[str, ...]) -> None:
        check_survivors(plan, survivors, max(plan.threshold, self._policy.smallest_cohort))
        if self._name not in survivors:
            raise EquivocatedSet(f"'{self._name}' answered round {plan.round} and is not in the surviving set it was shown")

    def _check_proof(self, request: UnmaskRequest, context: bytes) -> None:
        plan, survivors = request.plan, request.survivors
        needed = len(survivors) if survivors == plan.cohort else plan.threshold
        signers = [name for name in survivors if name in request.agreements]
        if len(signers) < needed:
            raise UnprovenSet(
                f"the surviving set of round {plan.round} carries {len(signers)} signatures of its members; {needed} are needed"
            )
        content = agreement_bytes(context, survivors)
        for name in signers:
            verify(
                self._roster.members[name], request.agreements[name], content, f"the surviving set of round {plan.round} signed by '{name}'"
            )

    # Keys and shares

    def _meet(self, keys: Sequence[EpochKey]) -> None:
        # All chains are derived at once and the private key is erased: with it, older rounds' keys could be derived again.
        for key in keys:
            self._check_key(key)
        shown = {key.institution: key.public_key for key in keys if key.institution != self._name}
        if not self._state.private:
            changed = sorted(name for name in shown if self._state.peers.get(name) != shown[name])
            if changed:
                raise WrongRoster(f"{', '.join(changed)} is shown with another key than at the start of epoch {self._state.key.epoch}")
            return
        own, private = self._state.key, X25519PrivateKey.from_private_bytes(self._state.private)
        chains = {name: (0, epoch_pair_key(private, public, own.run, own.epoch, (self._name, name))) for name, public in shown.items()}
        self._state = self._state.having_met(shown, chains)

    def _check_key(self, key: EpochKey) -> None:
        own = self._state.key
        if key.institution not in self._roster.members:
            raise WrongRoster(f"an epoch key is of '{key.institution}', who is not on the pinned roster")
        if (key.run, key.epoch, key.roster_digest) != (own.run, own.epoch, own.roster_digest):
            raise WrongRoster(f"the epoch key of '{key.institution}' is of another run, epoch or roster")
        verify(self._roster.members[key.institution], key.signature, epoch_key_bytes(key), f"the epoch key of '{key.institution}'")
        if key.institution == self._name and key.public_key != own.public_key:
            raise WrongRoster(f"'{self._name}' is shown a key of its own that it did not make for epoch {own.epoch}")

    def _deal(self, plan: Plan, context: bytes, chains: dict[str, bytes], seeds: dict[str, bytes]) -> dict[str, bytes]:
        secrets = np.frombuffer(b"".join(seeds.values()), np.uint8).reshape(len(seeds), SEED_BYTES)
        dealt = share(secrets, len(plan.cohort), plan.threshold, self._random)
        return {
            holder: piece.tobytes() if holder == self._name else seal(chains[holder], context, self._name, holder, piece.tobytes())
            for holder, piece in zip(plan.cohort, dealt, strict=True)
        }

    def _open_shares(self, request: UnmaskRequest, dealer: str, current: OpenRound) -> dict[str, bytes]:
        if dealer == self._name:
            content = current.own_shares
        elif dealer in request.shares:
            content = unseal(self._state.chains[dealer][1], current.context, dealer, self._name, request.shares[dealer])
        else:
            raise WrongShare(f"the shares that '{dealer}' sealed for '{self._name}' in round {request.plan.round} did not come along")
        names = ["", *(name for name in request.plan.cohort if name != dealer)]
        if len(content) != len(names) * SEED_BYTES:
            raise WrongShare(
                f"the shares that '{dealer}' sealed for '{self._name}' have {len(content)} bytes, not {len(names) * SEED_BYTES}"
            )
        return {name: content[i * SEED_BYTES : (i + 1) * SEED_BYTES] for i, name in enumerate(names)}

    def _current(self, plan: Plan) -> OpenRound:
        current = self._state.current
        if current is None or plan.round != self._state.last_round or current.context != round_context(plan):
            raise ReplayedRound(f"'{self._name}' has no open round {plan.round} with this plan; it was answered already or never masked")
        return current
