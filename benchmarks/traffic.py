"""What a training round's messages weigh: real ones, masked, signed and sealed, of institutions that are opened for the purpose."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.consortium import Case, Consortium
from server.phases import Asked
from shared.rpc.codec import seal_request, split_masked, to_wire
from shared.secagg.coordinator import CoordinatorRound
from shared.secagg.encoding import DTYPES
from shared.secagg.messages import Plan, TrainRequest


class Uplink(NamedTuple):
    """Bytes that one institution sends in a round: the update's words, and everything, its answer to Unmask included."""

    words: int
    total: int


@dataclass(frozen=True)
class Traffic:
    """Notes what training rounds ask: give it to a loop as its tap."""

    rounds: list[tuple[Asked, Plan]] = field(default_factory=list)

    def __call__(self, asked: Asked, plan: Plan) -> None:
        """As :data:`benchmarks.loop.Tap`."""
        if plan.layout.update_words:
            self.rounds.append((asked, plan))

    @property
    def parameters(self) -> int:
        """Of the student."""
        return self.rounds[0][1].layout.update_words

    def uplink(self) -> Uplink:
        """Bytes up in a round, the same in each."""
        return uplink(self.rounds[-1][1])

    def downlink(self) -> float:
        """Median bytes of a Train request with its model, but for the first, with which the whole model goes down once."""
        key = Ed25519PrivateKey.generate()
        sizes = [
            len(seal_request("train", to_wire(TrainRequest(plan)), key)) + len(asked.delta or asked.blob)
            for asked, plan in self.rounds[1:] or self.rounds
        ]
        return statistics.median(sizes)


def uplink(plan: Plan) -> Uplink:
    """What one institution sends in a round of ``plan``'s shape and work, in which everyone survives."""
    layout = plan.layout
    consortium = Consortium.open(len(plan.cohort))
    shape = consortium.plan(Case(layout.update_words, len(plan.cohort), 0, layout.width))
    real = replace(shape, layout=layout, body=plan.body, clip_norm=plan.clip_norm, weight_cap=plan.weight_cap, rotation=plan.rotation)
    coordinator = CoordinatorRound(real, consortium.keys, consortium.roster)
    words, counters = np.zeros(layout.update_words, DTYPES[layout.width]), np.zeros(layout.counters, np.uint64)
    sent = 0
    for institution in consortium.institutions.values():
        institution.check(real, consortium.keys)
        masked = institution.mask(real, words, 1, counters)
        coordinator.add(masked)
        sent = sum(map(len, split_masked(masked)))
    coordinator.close()
    name, institution = next(iter(consortium.institutions.items()))
    shares = institution.unmask(coordinator.unmask_request(name))
    return Uplink(words.nbytes, sent + len(to_wire(shares)))
