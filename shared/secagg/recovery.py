"""Seeds from shares, each checked against its commitment, with wrong shares found, left out and their givers named.

Some ``t`` of the shares give a seed. If it does not match the commitment, other choices are tried, those first that avoid
holders who were wrong before: all choices where there are few, else random ones. With ``n`` answers and ``k`` liars a
random choice avoids them with probability ``C(n−k, t) / C(n, t)``; of 64 answers and ``t = 34`` ten liars are avoided.

A seed that matches is the right one. That the shares it came from are right does not follow: liars who know the choice can
make errors that cancel at 0 and leave the polynomial wrong elsewhere, where honest holders then seem to lie. Such a
polynomial agrees with at most ``t − 2`` honest holders (it meets the right one at 0 too) and the at most ``c`` liars. So holders
are blamed only for a polynomial with more than ``t − 2 + c`` of ``n`` on it; if there is none, nobody is.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.secagg.dealing import SELF
from shared.secagg.errors import VoidRound
from shared.secagg.field import Bytes
from shared.secagg.graph import local_collusion
from shared.secagg.keys import KEY_BYTES
from shared.secagg.messages import Plan, Shares
from shared.secagg.seals import commit_pair, commit_self
from shared.secagg.shamir import predict, reconstruct

MOST_TRIES = 4096
"""Choices of shares tried in one round before it is given up."""
CHOICES_FOR_BLAME = 64
"""Further choices tried for a seed that is known already, to find out who lied."""

Secret = tuple[str, str]
"""A dealer, and the peer it shares the seed with (``SELF``: its self-mask seed)."""


@dataclass(frozen=True)
class Recovered:
    """Seeds by secret, and the pairs ``(dealer, holder)`` of which one dealt or gave a wrong share."""

    seeds: Mapping[Secret, bytes]
    wrong: frozenset[tuple[str, str]]


def recover(
    plan: Plan,
    context: bytes,
    answers: Mapping[str, Shares],
    commitments: Mapping[Secret, bytes],
    holders: Mapping[str, tuple[str, ...]],
) -> Recovered:
    """The seed of every secret in ``commitments`` from ``answers``, at least share threshold of which hold a share of each.

    ``holders``: whom each dealer dealt to, in order; on a complete graph the same for all, who are then opened together.
    Raises :class:`VoidRound`, naming the dealer, where no choice of shares gives the seed that the dealer committed to.
    """
    together: dict[tuple[str, ...], dict[Secret, bytes]] = {}
    for (dealer, peer), commitment in commitments.items():
        together.setdefault(holders[dealer], {})[dealer, peer] = commitment
    seeds: dict[Secret, bytes] = {}
    wrong: set[tuple[str, str]] = set()
    shares = {holder: _by_secret(answer) for holder, answer in answers.items()}
    for places, committed in together.items():
        search = _Search(plan, context, shares, committed, places)
        while search.missing:
            search.step()
        seeds |= search.seeds
        wrong |= search.wrong_pairs()
    return Recovered(seeds, frozenset(wrong))


def culprits(pairs: Iterable[tuple[str, str]], collusion: int) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Who is at fault for certain, and the pairs that leave it open, both sorted.

    Of each pair one is at fault: a share was dealt wrong or given wrong, a commitment is the one's or the other's lie. Who
    stands against more than ``collusion`` others is: if it were honest, all of these would have to be liars. What the worst
    explains counts for nobody else.
    """
    left, certain = set(pairs), []
    while left:
        counts = Counter(name for pair in {frozenset(pair) for pair in left} for name in pair)
        worst = max(sorted(counts), key=lambda name: counts[name])
        if counts[worst] <= collusion:
            break
        certain.append(worst)
        left = {pair for pair in left if worst not in pair}
    return tuple(sorted(certain)), tuple(sorted(left))


class _Search:
    def __init__(
        self,
        plan: Plan,
        context: bytes,
        shares: Mapping[str, Mapping[Secret, bytes]],
        commitments: Mapping[Secret, bytes],
        holders: tuple[str, ...],
    ) -> None:
        self._plan, self._context, self._commitments = plan, context, commitments
        self._liars = local_collusion(len(plan.cohort), plan.degree or len(plan.cohort) - 1, plan.collusion)
        self._holders = [holder for holder in holders if holder in shares]
        self._places = [place for place, holder in enumerate(holders) if holder in shares]
        self._secrets = sorted(commitments)
        rows = [b"".join(map(shares[holder].__getitem__, self._secrets)) for holder in self._holders]
        # (holders, secrets, 32)
        self._shares = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), len(self._secrets), KEY_BYTES)
        self._wrong: NDArray[np.bool_] = np.zeros(self._shares.shape[:2], np.bool_)
        self._tries = 0
        self.seeds: dict[Secret, bytes] = {}

    @property
    def missing(self) -> list[int]:
        return [index for index, secret in enumerate(self._secrets) if secret not in self.seeds]

    def step(self) -> None:
        """Finds a choice of holders that opens the first missing secret, and opens every other secret it can with it."""
        first, more = self.missing[0], CHOICES_FOR_BLAME
        for chosen in self._choices():
            self._tries += 1
            if self._fits(first, self._reconstruct(chosen, [first])[0]) and self._accept(chosen, first):
                return
            more -= self._secrets[first] in self.seeds
            if self._tries >= MOST_TRIES or not more:
                break
        if self._secrets[first] not in self.seeds:
            self._give_up(first)

    def wrong_pairs(self) -> frozenset[tuple[str, str]]:
        places = zip(*np.nonzero(self._wrong), strict=True)
        return frozenset((self._secrets[secret][0], self._holders[holder]) for holder, secret in places)

    def _choices(self) -> Iterator[list[int]]:
        size, threshold = len(self._holders), self._plan.share_threshold
        trusted = sorted(range(size), key=lambda holder: int(self._wrong[holder].sum()))
        yield trusted[:threshold]
        # Any order would do; this one no liar can arrange itself into before the plan is made.
        rng = np.random.default_rng(int.from_bytes(self._context, "big"))
        if math.comb(size, threshold) <= MOST_TRIES:
            yield from rng.permutation([*itertools.combinations(range(size), threshold)]).tolist()
            return
        while True:
            yield rng.permutation(size)[:threshold].tolist()

    def _reconstruct(self, chosen: Sequence[int], secrets: Sequence[int]) -> Bytes:
        return reconstruct([self._places[holder] for holder in chosen], self._shares[np.ix_(chosen, secrets)])

    def _fits(self, secret: int, seed: Bytes) -> bool:
        (dealer, peer), content = self._secrets[secret], seed.tobytes()
        made = commit_self(self._context, dealer, content) if peer == SELF else commit_pair(self._context, dealer, peer, content)
        return made == self._commitments[dealer, peer]

    def _accept(self, chosen: Sequence[int], first: int) -> bool:
        """Takes every seed that the choice opens; whether it also shows who is wrong about the ``first``."""
        everything = range(len(self._secrets))
        seeds = self._reconstruct(chosen, everything)
        opened = [(secret, seed) for secret, seed in zip(everything, seeds, strict=True) if self._fits(secret, seed)]
        self.seeds.update({self._secrets[secret]: seed.tobytes() for secret, seed in opened})
        columns = [secret for secret, _ in opened]
        deviating = self._deviating(chosen, columns)
        sure = len(self._holders) - deviating.sum(axis=0) > self._plan.share_threshold - 2 + self._liars
        self._wrong[:, columns] |= deviating & sure
        return bool(sure[columns.index(first)])

    def _deviating(self, chosen: Sequence[int], secrets: Sequence[int]) -> NDArray[np.bool_]:
        expected = predict([self._places[holder] for holder in chosen], self._shares[np.ix_(chosen, secrets)], self._places)
        deviating: NDArray[np.bool_] = (expected != self._shares[:, secrets]).any(axis=2)
        return deviating

    def _give_up(self, secret: int) -> None:
        dealer, number = self._secrets[secret][0], self._plan.round
        chosen = list(range(self._plan.share_threshold))
        if len(self._holders) > len(chosen) and not self._deviating(chosen, [secret]).any():
            raise VoidRound(f"'{dealer}' committed to another seed than it dealt shares of in round {number}; the round is void")
        raise VoidRound(
            f"no {self._plan.share_threshold} shares of a seed that '{dealer}' dealt in round {number} give what it committed to: it dealt "
            "wrong shares or too many holders gave wrong ones; the round is void"
        )


def _by_secret(answer: Shares) -> dict[Secret, bytes]:
    return {(dealer, SELF): share for dealer, share in answer.self_shares.items()} | dict(answer.pair_shares)
