"""What travels in a training round, measured on real messages: one institution's masked answer, and the model's blob down."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.phases import Asked
from shared.rpc.codec import split_masked
from shared.secagg.encoding import DTYPES
from shared.secagg.institution import InstitutionEpoch, SecaggPolicy
from shared.secagg.messages import Plan
from shared.secagg.roster import Roster
from shared.secagg.signing import keys_digest


@dataclass
class Traffic:
    """A tap for :class:`benchmarks.loop.Federation`: counts a training round's bytes each way for one of ``institutions``."""

    institutions: int
    up: list[float] = field(default_factory=list)
    payload: list[float] = field(default_factory=list)
    down: list[float] = field(default_factory=list)

    def __call__(self, asked: Asked, plan: Plan) -> None:
        """Takes one round's figures, a parameter each."""
        size = asked.update_words
        if size:
            self.up.append(self._answer(plan) / size)
            self.payload.append(plan.layout.width / 8)
            self.down.append((len(asked.delta) or len(asked.blob)) / size)

    def per_parameter(self) -> dict[str, float]:
        """Means over training rounds; those down without the first, in which the model goes whole."""
        down = self.down[1:] or self.down
        return {
            "bytes_up": float(np.mean(self.up)),
            "bytes_up_payload": float(np.mean(self.payload)),
            "bytes_down": float(np.mean(down)),
        }

    def _answer(self, plan: Plan) -> int:
        # A real institution masks zeros: as long as anything else.
        names = tuple(f"site-{index}" for index in range(self.institutions))
        identities = {name: Ed25519PrivateKey.generate() for name in names}
        roster = Roster({name: key.public_key().public_bytes_raw() for name, key in identities.items()}, bytes(32))
        policy = SecaggPolicy(longest_clip_norm=plan.clip_norm, most_rounds=plan.round)
        opened = {
            name: InstitutionEpoch.open(
                institution=name,
                identity=identities[name],
                roster=roster,
                run=plan.run,
                epoch=plan.epoch,
                roster_digest=roster.digest,
                policy=policy,
                random=os.urandom,
            )
            for name in names
        }
        keys = tuple(epoch.key for epoch in opened.values())
        real = replace(plan, cohort=names, roster_digest=roster.digest, keys_digest=keys_digest(keys))
        first = opened[names[0]]
        first.check(real, keys)
        words = np.zeros(plan.layout.update_words, DTYPES[plan.layout.width])
        header, blob = split_masked(first.mask(real, words, 1, np.zeros(plan.layout.counters, np.uint64)))
        return len(header) + len(blob)
