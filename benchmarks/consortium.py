"""A round of fedstill's secure aggregation over many institutions in one process, stage by stage under a stopwatch.

Every member is real: it masks, agrees and opens its shares, so the coordinator takes off the masks of a real round. Only the
members in the sample encode and are timed; the others mask what the last of them encoded. The sum is compared with the plain
one, integer by integer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from benchmarks.stopwatch import Spent, Stopwatch
from shared.rpc.codec import split_masked, to_wire
from shared.secagg.coordinator import CoordinatorRound
from shared.secagg.encoding import centred, mean_update, quantise, threshold_for
from shared.secagg.graph import degree_for, share_threshold_for
from shared.secagg.institution import InstitutionEpoch, SecaggPolicy
from shared.secagg.messages import EpochKey, Layout, Masked, Plan, Words
from shared.secagg.roster import Roster
from shared.secagg.signing import keys_digest

T = TypeVar("T")
COLLUSION = 1
_RUN, _EPOCH, _WEIGHT = "speed", 1, 100
_NO_COUNTERS = np.zeros(0, np.uint64)


class Case(NamedTuple):
    """A round: words of an update, members of the cohort, how many of them are lost once they have dealt, bits of a word."""

    params: int
    members: int
    lost: int
    width: int = 8

    @property
    def absent(self) -> frozenset[int]:
        """The places of those who are lost, spread over the cohort."""
        return frozenset(place * self.members // self.lost for place in range(self.lost))


class Measured(NamedTuple):
    """What each call of a stage took, bytes that one institution sent in the round, and that the coordinator held of it."""

    stages: Mapping[str, list[Spent]]
    bytes_up: int
    coordinator_bytes: int = 0


@dataclass(frozen=True)
class Consortium:
    """Institutions of one roster with an open epoch."""

    roster: Roster
    institutions: Mapping[str, InstitutionEpoch]

    @classmethod
    def open(cls, members: int) -> Consortium:
        """``members`` institutions with fresh keys."""
        identities = {f"i{place:04d}": Ed25519PrivateKey.generate() for place in range(members)}
        public = {name: identity.public_key().public_bytes_raw() for name, identity in identities.items()}
        roster = Roster(public, Ed25519PrivateKey.generate().public_key().public_bytes_raw())
        policy = SecaggPolicy(collusion=COLLUSION)
        opened = partial(InstitutionEpoch.open, roster=roster, run=_RUN, epoch=_EPOCH, roster_digest=roster.digest, policy=policy)
        return cls(roster, {name: opened(institution=name, identity=identity) for name, identity in identities.items()})

    @property
    def keys(self) -> tuple[EpochKey, ...]:
        """The signed keys of the epoch."""
        return tuple(institution.key for institution in self.institutions.values())

    def plan(self, case: Case) -> Plan:
        """The first round of the epoch, over everyone."""
        cohort, keys = tuple(self.institutions), self.keys
        threshold, degree = threshold_for(len(cohort), COLLUSION), degree_for(len(cohort), COLLUSION)
        return Plan(
            run=_RUN,
            epoch=_EPOCH,
            round=1,
            roster_digest=self.roster.digest,
            keys_digest=keys_digest(keys),
            cohort=cohort,
            threshold=threshold,
            share_threshold=share_threshold_for(len(cohort), degree, COLLUSION) if degree else threshold,
            collusion=COLLUSION,
            layout=Layout(case.params, 0, case.width),
            clip_norm=1.0,
            weight_cap=_WEIGHT,
            body=b"",
            blob_digest=bytes(32),
            degree=degree,
            rotation=case.params > 0,
        )


class Round:
    """One round, its stages in order. The first ``sample`` of the surviving institutions are timed, the coordinator always.

    Stages at an institution: ``keys`` (checking everybody's), ``client`` (encoding, and masking with all that belongs to it:
    pair keys, dealing, sealing, signing), ``agree``, ``unmask``. At the coordinator: ``add``, ``add_agreement``, ``request``
    and ``add_shares`` for each institution, ``finish`` (from all shares to the sum) and ``mean`` (from there to the mean update).
    """

    def __init__(self, case: Case, seed: int, sample: int, watch: Stopwatch) -> None:
        consortium = Consortium.open(case.members)
        self._plan, self._keys, self._watch = consortium.plan(case), consortium.keys, watch
        self._made = CoordinatorRound(self._plan, self._keys, consortium.roster)
        present = [name for place, name in enumerate(self._plan.cohort) if place not in case.absent]
        self._institutions = {name: consortium.institutions[name] for name in present}
        self._sample, self._random = present[:sample], np.random.default_rng(seed)
        self._expected = np.zeros(case.params, np.int64)
        self.bytes_up = 0

    def train(self) -> None:
        """Everyone who is not lost encodes and masks; the coordinator adds."""
        update = self._random.standard_normal(self._plan.layout.update_words, np.float32)
        words: Words = np.zeros(0, np.uint8)
        for name, institution in self._institutions.items():
            self._at(name, "keys", partial(institution.check, self._plan, self._keys))
            if name in self._sample:
                words, masked = self._watch.run("client", partial(self._client, institution, update))
            else:
                masked = institution.mask(self._plan, words, _WEIGHT, _NO_COUNTERS)
            self._count(name, *split_masked(masked), to_wire(institution.key))
            self._watch.run("add", partial(self._made.add, masked))
            self._expected += centred(words)
        self._made.close()

    def agree(self) -> None:
        """The survivors sign their set, where that is needed."""
        if self._made.whole:
            return
        request = self._made.agree_request()
        for name, institution in self._institutions.items():
            agreement = self._at(name, "agree", partial(institution.agree, request))
            self._count(name, to_wire(agreement))
            self._watch.run("add_agreement", partial(self._made.add_agreement, agreement))

    def unmask(self) -> None:
        """The survivors open their shares."""
        for name, institution in self._institutions.items():
            request = self._watch.run("request", partial(self._made.unmask_request, name))
            shares = self._at(name, "unmask", partial(institution.unmask, request))
            self._count(name, to_wire(shares))
            self._watch.run("add_shares", partial(self._made.add_shares, shares))

    def finish(self) -> None:
        """The coordinator takes the masks off. Raises ``ValueError`` for another sum than the plain one."""
        aggregate = self._watch.run("finish", self._made.finish)
        self._watch.run("mean", partial(mean_update, aggregate, self._plan))
        if not np.array_equal(aggregate.update, self._expected):
            raise ValueError("the unmasked sum is not the plain sum of the vectors")

    @property
    def coordinator_bytes(self) -> int:
        """What the coordinator holds of the round."""
        return retained_bytes(self._made)

    def _client(self, institution: InstitutionEpoch, update: NDArray[np.float32]) -> tuple[Words, Masked]:
        words = quantise(update, _WEIGHT, self._plan, self._random)
        return words, institution.mask(self._plan, words, _WEIGHT, _NO_COUNTERS)

    def _at(self, name: str, stage: str, work: Callable[[], T]) -> T:
        return self._watch.run(stage, work) if name in self._sample else work()

    def _count(self, name: str, *sent: bytes) -> None:
        if name == self._sample[0]:
            self.bytes_up += sum(map(len, sent))


def measure(case: Case, seed: int, sample: int) -> Measured:
    """One round from the first message to the mean update."""
    watch = Stopwatch()
    made = Round(case, seed, sample, watch)
    made.train()
    made.agree()
    made.unmask()
    held = made.coordinator_bytes
    made.finish()
    return Measured(watch.stages, made.bytes_up, held)


def retained_bytes(thing: object) -> int:
    """Bytes that ``thing`` holds: its arrays, bytes and collections, and what its attributes reach, each object once."""
    seen: dict[int, int] = {}
    left = [thing]
    while left:
        one = left.pop()
        if id(one) not in seen:
            seen[id(one)] = one.nbytes if isinstance(one, np.ndarray) else sys.getsizeof(one)
            left += _parts(one)
    return sum(seen.values())


def _parts(thing: object) -> list[object]:
    match thing:
        case str() | bytes() | np.ndarray() | type():
            return []
        case Mapping():
            return [*thing.keys(), *thing.values()]
        case list() | tuple() | set() | frozenset():
            return [*thing]
        case _:
            return [*getattr(thing, "__dict__", {}).values()]
