"""Seeds from shares, each checked against its commitment, with wrong shares found, left out and their givers named.

Some ``t`` of the shares give a seed. If it matches the commitment, the polynomial through them is the right one, and any
other share that is not on it is wrong. If it does not match, other choices are tried, those first that avoid holders who
were wrong before: all choices where there are few, else random ones. With ``n`` answers and ``k`` liars a random
choice avoids them with probability ``C(n−k, t) / C(n, t)``: of 64 answers and ``t = 34`` for instance ten liars are found.
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
from shared.secagg.keys import KEY_BYTES
from shared.secagg.messages import Plan, Shares
from shared.secagg.seals import commit_pair, commit_self
from shared.secagg.shamir import predict, reconstruct

MOST_TRIES = 4096
"""Choices of shares tried in one round before it is given up."""

Secret = tuple[str, str]
"""A dealer, and the peer it shares the seed with (``SELF``: its self-mask seed)."""


@dataclass(frozen=True)
class Recovered:
    """Seeds by secret, and who gave or dealt shares that were wrong."""

    seeds: Mapping[Secret, bytes]
    blamed: tuple[str, ...]


def recover(plan: Plan, context: bytes, answers: Mapping[str, Shares], commitments: Mapping[Secret, bytes]) -> Recovered:
    """The seed of every secret in ``commitments`` from at least threshold ``answers``, which hold a share of each.

    Raises :class:`VoidRound`, naming the dealer, where no choice of shares gives the seed that the dealer committed to.
    """
    search = _Search(plan, context, answers, commitments)
    while search.missing:
        search.step()
    return Recovered(search.seeds, culprits(search.wrong_pairs()))


def culprits(pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Fewest names, chosen greedily, that explain pairs ``(dealer, holder)`` of which one is at fault; the holder where it is even.

    A share that does not fit was given wrong or dealt wrong, and nobody else can tell which. Who does not fit with many is at fault.
    """
    left, found = set(pairs), []
    while left:
        counts = Counter(itertools.chain.from_iterable(left))
        holders = {holder for _, holder in left}
        worst = max(counts, key=lambda name: (counts[name], name in holders, name))
        found.append(worst)
        left = {pair for pair in left if worst not in pair}
    return tuple(sorted(found))


class _Search:
    def __init__(self, plan: Plan, context: bytes, answers: Mapping[str, Shares], commitments: Mapping[Secret, bytes]) -> None:
        self._plan, self._context, self._commitments = plan, context, commitments
        self._holders = sorted(answers)
        self._places = [plan.cohort.index(holder) for holder in self._holders]
        self._secrets = sorted(commitments)
        rows = [b"".join(_share(answers[holder], secret) for secret in self._secrets) for holder in self._holders]
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
        missing = self.missing
        for chosen in self._choices():
            self._tries += 1
            if self._fits(missing[0], self._reconstruct(chosen, [missing[0]])[0]):
                self._accept(chosen, missing)
                return
            if self._tries >= MOST_TRIES:
                break
        self._give_up(missing[0])

    def wrong_pairs(self) -> set[tuple[str, str]]:
        return {(self._secrets[secret][0], self._holders[holder]) for holder, secret in zip(*np.nonzero(self._wrong), strict=True)}

    def _choices(self) -> Iterator[list[int]]:
        size, threshold = len(self._holders), self._plan.threshold
        trusted = sorted(range(size), key=lambda holder: int(self._wrong[holder].sum()))
        if math.comb(size, threshold) <= MOST_TRIES:
            yield from map(list, itertools.combinations(trusted, threshold))
            return
        yield trusted[:threshold]
        # The context is nobody's choice alone, so liars cannot arrange to be in every choice.
        rng = np.random.default_rng(int.from_bytes(self._context, "big"))
        while True:
            yield rng.permutation(size)[:threshold].tolist()

    def _reconstruct(self, chosen: Sequence[int], secrets: Sequence[int]) -> Bytes:
        return reconstruct([self._places[holder] for holder in chosen], self._shares[np.ix_(chosen, secrets)])

    def _fits(self, secret: int, seed: Bytes) -> bool:
        (dealer, peer), content = self._secrets[secret], seed.tobytes()
        made = commit_self(self._context, dealer, content) if peer == SELF else commit_pair(self._context, dealer, peer, content)
        return made == self._commitments[dealer, peer]

    def _accept(self, chosen: Sequence[int], missing: Sequence[int]) -> None:
        seeds = self._reconstruct(chosen, missing)
        fitting = [position for position, secret in enumerate(missing) if self._fits(secret, seeds[position])]
        opened = [missing[position] for position in fitting]
        for position, secret in zip(fitting, opened, strict=True):
            self.seeds[self._secrets[secret]] = seeds[position].tobytes()
        self._wrong[:, opened] |= self._deviating(chosen, opened)

    def _deviating(self, chosen: Sequence[int], secrets: Sequence[int]) -> NDArray[np.bool_]:
        expected = predict([self._places[holder] for holder in chosen], self._shares[np.ix_(chosen, secrets)], self._places)
        deviating: NDArray[np.bool_] = (expected != self._shares[:, secrets]).any(axis=2)
        return deviating

    def _give_up(self, secret: int) -> None:
        dealer, number = self._secrets[secret][0], self._plan.round
        chosen = list(range(self._plan.threshold))
        if len(self._holders) > len(chosen) and not self._deviating(chosen, [secret]).any():
            raise VoidRound(f"'{dealer}' committed to another seed than it dealt shares of in round {number}; the round is void")
        raise VoidRound(
            f"no {self._plan.threshold} shares of a seed that '{dealer}' dealt in round {number} give what it committed to: it dealt wrong "
            "shares or too many holders gave wrong ones; the round is void"
        )


def _share(answer: Shares, secret: Secret) -> bytes:
    dealer, peer = secret
    return answer.self_shares[dealer] if peer == SELF else answer.pair_shares[dealer, peer]
