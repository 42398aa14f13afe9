"""A whole federation of the protocol in memory, with keys and randomness that are the same in every run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from shared.secagg.coordinator import CoordinatorRound
from shared.secagg.encoding import DTYPES, level_of, threshold_for
from shared.secagg.graph import degree_for, share_threshold_for
from shared.secagg.institution import InstitutionEpoch, SecaggPolicy
from shared.secagg.messages import Aggregate, EpochKey, Layout, Masked, Plan, Shares, Words
from shared.secagg.roster import Roster
from shared.secagg.signing import keys_digest, masked_bytes, shares_bytes, sign

POLICY = SecaggPolicy(smallest_cohort=3, collusion=1, longest_clip_norm=10.0, most_rounds=1000)
NAMES = ("ash", "birch", "cedar", "dogwood", "elm")


class Stream:
    """Bytes that look random and are the same for the same label: SHA-256 in counter mode. For tests and vectors only."""

    def __init__(self, label: str) -> None:
        self._label = label.encode()
        self._count = 0

    def __call__(self, size: int) -> bytes:
        self._count += 1
        blocks = range((size + 31) // 32)
        made = [hashlib.sha256(b"%s/%d/%d" % (self._label, self._count, block)).digest() for block in blocks]
        return b"".join(made)[:size]


@dataclass(frozen=True)
class Vector:
    """What one institution has to add: ring words, counters, weight."""

    update: Words
    counters: NDArray[np.uint64]
    weight: int


@dataclass
class Federation:
    """Institutions of one roster with an open epoch, and the coordinator's part of it."""

    names: tuple[str, ...] = NAMES
    policy: SecaggPolicy = POLICY
    epoch: int = 1
    run: str = "trial"
    random: Callable[[str], Callable[[int], bytes]] = Stream
    institutions: dict[str, InstitutionEpoch] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.identities = {name: identity(name) for name in self.names}
        members = {name: key.public_key().public_bytes_raw() for name, key in self.identities.items()}
        self.roster = Roster(members, identity("coordinator").public_key().public_bytes_raw())
        self.institutions = {name: self.open(name) for name in self.names}

    def open(self, name: str, **changed: Any) -> InstitutionEpoch:
        """A new epoch at one institution."""
        asked: dict[str, Any] = {"run": self.run, "epoch": self.epoch, "roster_digest": self.roster.digest} | changed
        return InstitutionEpoch.open(
            institution=name,
            identity=self.identities[name],
            roster=self.roster,
            policy=self.policy,
            random=self.random(f"{name}/{asked['epoch']}"),
            **asked,
        )

    @property
    def keys(self) -> tuple[EpochKey, ...]:
        """The signed keys of the epoch."""
        return tuple(institution.key for institution in self.institutions.values())

    def plan(self, number: int = 1, **changed: Any) -> Plan:
        """A legal plan over everyone: 16-bit words, 7 of them, 3 counters."""
        cohort = tuple(sorted(changed.get("cohort", self.names)))
        threshold = changed.get("threshold", threshold_for(len(cohort), self.policy.collusion))
        degree = changed.get("degree", degree_for(len(self.names), self.policy.collusion))
        share_threshold = share_threshold_for(len(self.names), degree, self.policy.collusion) if degree else threshold
        plan = Plan(
            run=self.run,
            epoch=self.epoch,
            round=number,
            roster_digest=self.roster.digest,
            keys_digest=keys_digest(self.keys),
            cohort=cohort,
            threshold=threshold,
            share_threshold=share_threshold,
            collusion=self.policy.collusion,
            layout=Layout(update_words=7, counters=3),
            clip_norm=1.0,
            weight_cap=100,
            body=b"{}",
            blob_digest=bytes(32),
            degree=degree,
            smallest_cohort=self.policy.fewest,
        )
        return replace(plan, **(changed | {"cohort": cohort}))

    def restart(self, name: str) -> None:
        """The institution's process dies and comes back from its exported state."""
        self.institutions[name] = InstitutionEpoch.restore(
            self.institutions[name].export(),
            identity=self.identities[name],
            roster=self.roster,
            policy=self.policy,
            random=self.random(f"{name}/{self.epoch}/again"),
        )

    def mask(self, plan: Plan, name: str, vector: Vector | None = None) -> Masked:
        """Train at one institution."""
        content = vector or vector_of(plan, name)
        institution = self.institutions[name]
        institution.check(plan, self.keys)
        return institution.mask(plan, content.update, content.weight, content.counters)

    def coordinator(self, plan: Plan) -> CoordinatorRound:
        """A fresh coordinator's round."""
        return CoordinatorRound(plan, self.keys, self.roster)

    def masked(self, plan: Plan, lost: Iterable[str] = (), order: Sequence[str] | None = None) -> CoordinatorRound:
        """A round in which everyone but ``lost`` has masked and been added, closed."""
        made = self.coordinator(plan)
        for name in order or plan.cohort:
            if name not in set(lost):
                made.add(self.mask(plan, name))
        made.close()
        return made

    def agree(self, made: CoordinatorRound) -> None:
        """Agree, if it is needed."""
        if not made.whole:
            request = made.agree_request()
            for name in request.survivors:
                made.add_agreement(self.institutions[name].agree(request))

    def unmask(self, made: CoordinatorRound, silent: Iterable[str] = ()) -> None:
        """Unmask at every survivor but ``silent``."""
        for name in made.agree_request().survivors:
            if name not in set(silent):
                made.add_shares(self.institutions[name].unmask(made.unmask_request(name)))

    def round(self, plan: Plan, lost: Iterable[str] = (), silent: Iterable[str] = ()) -> Aggregate:
        """A whole round."""
        made = self.masked(plan, lost)
        self.agree(made)
        self.unmask(made, silent)
        return made.finish()


def identity(name: str) -> Ed25519PrivateKey:
    """A fixed identity key. For tests and vectors only."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"identity of " + name.encode()).digest())


def vector_of(plan: Plan, name: str) -> Vector:
    """A legal contribution that depends on the name and the plan's shape only; it reaches both ends of the legal range."""
    seed = int.from_bytes(hashlib.sha256(f"{name}/{plan.round}".encode()).digest()[:8], "big")
    rng = np.random.default_rng(seed)
    level = level_of(plan)
    signed = rng.choice([-level, level, 0, 1, -1, int(rng.integers(-level, level + 1))], plan.layout.update_words)
    counters = rng.integers(0, 2**40, plan.layout.counters, dtype=np.uint64)
    return Vector(signed.astype(np.int64).astype(DTYPES[plan.layout.width]), counters, int(rng.integers(1, plan.weight_cap + 1)))


def plain_sum(plan: Plan, names: Iterable[str]) -> tuple[NDArray[np.int64], NDArray[np.uint64], int]:
    """What the sum over ``names`` must be, in plain integers: update, counters, weight."""
    vectors = [vector_of(plan, name) for name in names]
    signed = [vector.update.view(np.dtype(f"i{vector.update.itemsize}")).astype(np.int64) for vector in vectors]
    return sum(signed), sum(vector.counters for vector in vectors), sum(vector.weight for vector in vectors)  # type: ignore[return-value]


def assert_sum(aggregate: Aggregate, plan: Plan, names: Iterable[str]) -> None:
    """The aggregate is the plain sum over ``names``, bit for bit."""
    update, counters, weight = plain_sum(plan, names)
    assert aggregate.survivors == tuple(sorted(names))
    assert aggregate.update.astype(np.int64).tobytes() == update.tobytes()
    assert aggregate.counters.tobytes() == counters.tobytes()
    assert aggregate.weight == weight


def flipped(content: bytes, bit: int) -> bytes:
    """``content`` with one bit turned over."""
    changed = bytearray(content)
    changed[(bit // 8) % len(changed)] ^= 1 << (bit % 8)
    return bytes(changed)


def resigned(masked: Masked, **changed: Any) -> Masked:
    """A masked answer with other content, signed by its sender."""
    unsigned = replace(masked, **changed)
    return replace(unsigned, signature=sign(identity(masked.institution), masked_bytes(unsigned)))


def resigned_shares(shares: Shares, **changed: Any) -> Shares:
    """An answer to Unmask with other content, signed by its sender."""
    unsigned = replace(shares, **changed)
    return replace(unsigned, signature=sign(identity(shares.institution), shares_bytes(unsigned)))
