"""Seeds from shares, with the liars named: each seed is checked against its commitment, wrong shares are left out."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from shared.secagg.errors import VoidRound
from shared.secagg.keys import commitment
from shared.secagg.masks import SEED_BYTES
from shared.secagg.messages import Plan, Shares
from shared.secagg.shamir import reconstruct

MOST_TRIES = 5000
"""Subsets of shares tried for one seed before the round is given up: enough for two liars among 64."""


class Recovery:
    """Reconstructs the seeds of one round from the holders' answers. A holder once found lying is not believed again."""

    def __init__(self, plan: Plan, context: bytes, answers: Mapping[str, Shares]) -> None:
        self._plan = plan
        self._context = context
        self._answers = answers
        self._index = {name: i for i, name in enumerate(plan.cohort)}
        self._blamed: set[str] = set()

    @property
    def blamed(self) -> tuple[str, ...]:
        """Holders whose shares were wrong, sorted."""
        return tuple(sorted(self._blamed))

    def seed(self, dealer: str, peer: str, committed: bytes) -> bytes:
        """The seed that ``dealer`` committed to (``peer`` "" is its self-mask).

        Raises :class:`VoidRound`, naming the dealer, if no threshold of shares gives it.
        """
        shares = self._shares(dealer, peer)
        trusted = {name: value for name, value in shares.items() if name not in self._blamed}
        for chosen in itertools.islice(itertools.combinations(sorted(trusted), self._plan.threshold), MOST_TRIES):
            seed = self._combine({name: trusted[name] for name in chosen})
            if commitment(self._context, dealer, peer, seed) == committed:
                self._blame(trusted, chosen, seed)
                return seed
        raise VoidRound(
            f"the shares that '{dealer}' dealt in round {self._plan.round} do not give the seed it committed to, or too many holders "
            f"gave wrong ones ({len(trusted)} of {len(self._plan.cohort)} are left, {self._plan.threshold} are needed)"
        )

    def _shares(self, dealer: str, peer: str) -> dict[str, bytes]:
        return {
            name: answer.self_shares[dealer] if peer == "" else answer.pair_shares[dealer, peer] for name, answer in self._answers.items()
        }

    def _combine(self, shares: Mapping[str, bytes]) -> bytes:
        if any(len(value) != SEED_BYTES for value in shares.values()):
            return b""
        return reconstruct({self._index[name]: value for name, value in shares.items()})

    def _blame(self, trusted: Mapping[str, bytes], chosen: tuple[str, ...], seed: bytes) -> None:
        # The chosen shares lie on the right polynomial; any other share is right if it can stand in for one of them.
        for name in sorted(set(trusted) - set(chosen)):
            if self._combine({other: trusted[other] for other in (*chosen[1:], name)}) != seed:
                self._blamed.add(name)
