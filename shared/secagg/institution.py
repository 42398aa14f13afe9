"""The institution's side of the protocol as a state machine; each method is an exchange. No I/O, no clock.

What it hides, under which assumptions and why is argued in ``shared/secagg/__init__.py``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Self

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from shared.secagg.dealing import SELF, Secrets, open_bundle
from shared.secagg.encoding import DTYPES, largest_counter
from shared.secagg.errors import (
    EquivocatedSet,
    ForgedMessage,
    IllegalPlan,
    IllegalVector,
    LostEpoch,
    ReplayedRound,
    WrongRoster,
    WrongShare,
)
from shared.secagg.fragments import cells
from shared.secagg.graph import Graph
from shared.secagg.keys import KEY_BYTES, Ratchet, first_pair_keys, pair_seed, public_key, seal_key
from shared.secagg.masks import Mask, apply, pair_mask
from shared.secagg.messages import Agreement, AgreeRequest, EpochKey, Masked, Plan, Shares, UnmaskRequest, Words
from shared.secagg.roster import Roster
from shared.secagg.rules import Rules, SecaggPolicy
from shared.secagg.seals import seal, unseal
from shared.secagg.signing import agreement_bytes, epoch_key_bytes, masked_bytes, round_context, shares_bytes, sign
from shared.secagg.state import EpochState, RoundSecrets, pack, unpack

__all__ = ["InstitutionEpoch", "SecaggPolicy"]

Random = Callable[[int], bytes]


class InstitutionEpoch:
    """One institution in one epoch of one run.

    Methods raise a typed error and change nothing, or change the state and give the answer. Whoever calls them stores
    :meth:`export` and the answer together *before* the answer leaves, and gives the stored answer to the same request again.
    """

    def __init__(self, state: EpochState, identity: Ed25519PrivateKey, roster: Roster, policy: SecaggPolicy, random: Random) -> None:
        """For :meth:`open` and :meth:`restore`."""
        self._state = state
        self._identity = identity
        self._rules = Rules(state.key.institution, roster, policy)
        self._random = random
        self._drawn: tuple[int, tuple[EpochKey, ...], Graph] | None = None

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
        """Makes a fresh key for an epoch. Raises :class:`WrongRoster` unless ``roster_digest`` is that of the pinned ``roster``,
        which holds this institution with this identity. ``random(n)`` gives n secret uniform bytes."""
        if roster_digest != roster.digest:
            raise WrongRoster(
                f"institution '{institution}' refused epoch {epoch}: it is for another roster than the pinned one; compare fingerprints"
            )
        if roster.members.get(institution) != identity.public_key().public_bytes_raw():
            raise WrongRoster(f"institution '{institution}' is not on the pinned roster with the identity it has")
        private = random(KEY_BYTES)
        unsigned = EpochKey(institution, run, epoch, roster_digest, public_key(private), b"")
        key = replace(unsigned, signature=sign(identity, epoch_key_bytes(unsigned)))
        return cls(EpochState(key, private), identity, roster, policy, random)

    @classmethod
    def restore(
        cls, state: bytes, *, identity: Ed25519PrivateKey, roster: Roster, policy: SecaggPolicy, random: Random = os.urandom
    ) -> Self:
        """The epoch as :meth:`export` wrote it. Raises :class:`LostEpoch` if it cannot be read, or is of another roster."""
        unpacked = unpack(state)
        if unpacked.key.roster_digest != roster.digest:
            raise LostEpoch(f"epoch {unpacked.key.epoch} was opened for another roster than the pinned one; a new epoch must be opened")
        return cls(unpacked, identity, roster, policy, random)

    def export(self) -> bytes:
        """Everything :meth:`restore` needs: secret, small (some kilobytes), the same for the same state."""
        return pack(self._state)

    @property
    def key(self) -> EpochKey:
        """The answer to Open."""
        return self._state.key

    def check(self, plan: Plan, keys: Sequence[EpochKey] | None = None) -> None:
        """Raises what :meth:`mask` would refuse, before anyone trains for it.

        ``keys`` are needed until a round of the epoch has been masked, and are pinned by the first check that passes. The rest
        of the state does not change.
        """
        own = self._state.key
        if (plan.run, plan.epoch) != (own.run, own.epoch):
            raise LostEpoch(
                f"'{own.institution}' holds keys for epoch {own.epoch} of run {own.run}, not for epoch {plan.epoch} of {plan.run}"
            )
        self._rules.check_plan(plan)
        if plan.round <= self._state.last_round:
            raise ReplayedRound(
                f"institution '{own.institution}' refused round {plan.round}: it has masked round {self._state.last_round} already, "
                "and masks a round once"
            )
        self._pin(plan, keys)
        graph = self._graph(plan)
        self._rules.check_graph(plan, graph, self._state.peers)
        neighbours = set(graph.neighbourhood(own.institution)) - {own.institution}
        if self._state.ratchet is not None and set(self._state.ratchet.keys) != neighbours:
            raise IllegalPlan(
                f"institution '{own.institution}' refused round {plan.round}: epoch {own.epoch} began on another graph; open a new epoch"
            )

    def mask(self, plan: Plan, update: Words, weight: int, counters: NDArray[np.uint64]) -> Masked:
        """The answer to Train: ``update (d,)`` in ring words and ``counters (k,)``, masked; raises also :class:`IllegalVector`.

        The round's pair keys are gone afterwards.
        """
        self.check(plan)
        _check_vectors(plan, update, weight, counters)
        own, context = self._state.key.institution, round_context(plan)
        graph = self._graph(plan)
        ratchet = self._ratchet(graph).at(plan.round)
        holders = graph.holders(own, plan.cohort)
        peers = [name for name in holders if name != own]
        pair_seeds = {peer: pair_seed(ratchet.keys[peer], context, own, peer) for peer in peers}
        secrets = Secrets(own, self._random(KEY_BYTES), pair_seeds)
        bundles = secrets.bundles(holders, plan.share_threshold, self._random)
        sealed = {
            peer: seal(seal_key(ratchet.keys[peer], context, own, peer), bundles[peer], context, own, peer, self._random) for peer in peers
        }
        words, sums = update.copy(), np.concatenate([control(plan, own, weight), counters])
        apply(words, sums, [Mask(secrets.self_seed, True), *(pair_mask(own, peer, seed) for peer, seed in pair_seeds.items())])
        # On a sparse graph nothing is agreed on in advance (graph.py, "One view").
        agreement = b"" if plan.degree else sign(self._identity, agreement_bytes(context, plan.cohort))
        unsigned = Masked(own, context, words, sums, sealed, secrets.commitments(context), agreement, b"")
        masked = replace(unsigned, signature=sign(self._identity, masked_bytes(unsigned)))
        opening = {peer: seal_key(ratchet.keys[peer], context, peer, own) for peer in peers}
        self._state = replace(
            self._state,
            private_key=b"",
            ratchet=ratchet.at(plan.round + 1),
            last_round=plan.round,
            secrets=RoundSecrets(context, bundles[own], opening),
        )
        return masked

    def agree(self, request: AgreeRequest) -> Agreement:
        """The answer to Agree. Signs one set a round, ever, the same set again; on a complete graph one smaller than the cohort."""
        plan, survivors = request.plan, request.survivors
        secrets = self._current(plan)
        self._rules.check_survivors(plan, survivors, self._graph(plan))
        if survivors == plan.cohort and not plan.degree:
            raise EquivocatedSet(f"the whole cohort of round {plan.round} was signed with the masked update; Agree is for a smaller set")
        self._only_set(plan, secrets, survivors)
        own = self._state.key.institution
        self._state = replace(self._state, secrets=replace(secrets, signed=survivors))
        return Agreement(own, secrets.context, survivors, sign(self._identity, agreement_bytes(secrets.context, survivors)))

    def unmask(self, request: UnmaskRequest) -> Shares:
        """The answer to Unmask, once a round: for each survivor a share of its self-mask seed, and for each survivor and each
        lost one a share of their pair seed. The round's secrets are gone afterwards."""
        plan, survivors = request.plan, request.survivors
        secrets, graph = self._current(plan), self._graph(plan)
        self._rules.check_survivors(plan, survivors, graph)
        self._only_set(plan, secrets, survivors)
        self._rules.check_proof(request)
        lost = set(plan.cohort) - set(survivors)
        bundles = self._open_bundles(request, secrets, graph)
        own = self._state.key.institution
        self_shares = {dealer: bundle[SELF] for dealer, bundle in bundles.items()}
        pair_shares = {(dealer, gone): share for dealer, bundle in bundles.items() for gone, share in bundle.items() if gone in lost}
        unsigned = Shares(own, secrets.context, self_shares, pair_shares, b"")
        shares = replace(unsigned, signature=sign(self._identity, shares_bytes(unsigned)))
        self._state = replace(self._state, secrets=secrets.finished())
        return shares

    def _pin(self, plan: Plan, keys: Sequence[EpochKey] | None) -> None:
        own, pinned = self._state.key, self._state.peers
        if not keys and not pinned:
            raise LostEpoch(
                f"institution '{own.institution}' refused round {plan.round}: it has no keys of the others in epoch {own.epoch} yet"
            )
        known = tuple(sorted(keys, key=lambda key: key.institution)) if keys else pinned
        if pinned and known != pinned:
            raise ForgedMessage(f"round {plan.round} comes with other keys for epoch {own.epoch} than '{own.institution}' has pinned")
        if not pinned:
            self._rules.check_keys(own, known)
        self._rules.check_known(plan, known)
        self._state = replace(self._state, peers=known)

    def _graph(self, plan: Plan) -> Graph:
        drawn = self._drawn
        if drawn is None or drawn[0] != plan.degree or drawn[1] is not self._state.peers:
            drawn = self._drawn = (plan.degree, self._state.peers, Graph(self._state.peers, plan.degree))
        return drawn[2]

    def _ratchet(self, graph: Graph) -> Ratchet:
        state = self._state
        if state.ratchet is not None:
            return state.ratchet
        own = state.key.institution
        neighbours = set(graph.neighbourhood(own)) - {own}
        others = [peer for peer in state.peers if peer.institution in neighbours]
        return Ratchet(0, first_pair_keys(state.private_key, state.key, others))

    def _current(self, plan: Plan) -> RoundSecrets:
        own, secrets = self._state.key, self._state.secrets
        if (plan.run, plan.epoch) != (own.run, own.epoch):
            raise LostEpoch(
                f"'{own.institution}' holds keys for epoch {own.epoch} of run {own.run}, not for epoch {plan.epoch} of {plan.run}"
            )
        if secrets is None or plan.round != self._state.last_round or secrets.context != round_context(plan):
            raise ReplayedRound(
                f"institution '{own.institution}' has not masked round {plan.round} with this plan; "
                f"its last is round {self._state.last_round}"
            )
        if secrets.answered:
            raise ReplayedRound(f"institution '{own.institution}' has given its shares for round {plan.round} already and keeps none")
        return secrets

    def _only_set(self, plan: Plan, secrets: RoundSecrets, survivors: tuple[str, ...]) -> None:
        if secrets.signed and survivors != secrets.signed:
            own = self._state.key.institution
            raise EquivocatedSet(
                f"institution '{own}' has signed the surviving set {', '.join(secrets.signed)} for round {plan.round} and refuses another"
            )

    def _open_bundles(self, request: UnmaskRequest, secrets: RoundSecrets, graph: Graph) -> dict[str, dict[str, bytes]]:
        own, cohort = self._state.key.institution, frozenset(request.plan.cohort)
        dealers = [name for name in graph.holders(own, request.survivors) if name != own]
        if sorted(request.shares) != dealers:
            raise WrongShare(f"the shares for '{own}' in round {request.plan.round} are not those of its surviving neighbours, each once")
        bundles = {own: open_bundle(secrets.own_shares, own, graph.holders(own, cohort))}
        for dealer in dealers:
            content = unseal(secrets.seal_keys[dealer], request.shares[dealer], secrets.context, dealer, own)
            bundles[dealer] = open_bundle(content, dealer, graph.holders(dealer, cohort))
        return bundles


def control(plan: Plan, institution: str, weight: int) -> NDArray[np.uint64]:
    """The control words of one institution: a 1, its weight, and with fragments its weight in each cell that it trained."""
    parts = [weight if cell.trained_by(institution) else 0 for cell in cells(plan)] if plan.fragments else []
    return np.array([1, weight, *parts], np.uint64)


def _check_vectors(plan: Plan, update: Words, weight: int, counters: NDArray[np.uint64]) -> None:
    layout = plan.layout
    if update.dtype != DTYPES[layout.width] or update.shape != (layout.update_words,):
        raise IllegalVector(
            f"round {plan.round} takes {layout.update_words} words of {layout.width} bits, not {update.dtype} {update.shape}"
        )
    if counters.dtype != np.uint64 or counters.shape != (layout.counters,):
        raise IllegalVector(f"round {plan.round} takes {layout.counters} counters of 64 bits, not {counters.dtype} {counters.shape}")
    if not 1 <= weight <= plan.weight_cap:
        raise IllegalVector(f"a sample weight of {weight} is not between 1 and the cap {plan.weight_cap} of round {plan.round}")
    if counters.size and int(counters.max()) > largest_counter(plan):
        raise IllegalVector(f"a counter of round {plan.round} is above {largest_counter(plan)}, so that their sum could overflow")
