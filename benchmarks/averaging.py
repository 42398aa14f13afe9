"""How a round's contributions become sums: through the ring as deployed, in plain floating point, or both beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from client.encoder import Contribution, Encoder, weighed
from client.residuals import MemoryResiduals
from server.phases import Sums, decode_counters
from shared.config import FederationConfig
from shared.secagg.encoding import centred, mean_update, prove_headroom
from shared.secagg.messages import Aggregate, Plan
from shared.work import Work

Contributions = Mapping[str, Contribution]


class Averaging(Protocol):
    """Makes a round's sums. One object belongs to one run: it may keep what an institution keeps between rounds."""

    def __call__(self, plan: Plan, work: Work, done: Contributions, config: FederationConfig) -> Sums:
        """The sums over all institutions of what each has ``done`` for ``work``."""
        ...


@dataclass(frozen=True)
class RingAveraging:
    """The product's encoding, error feedback and decoding, without masks, which cancel exactly."""

    encoders: dict[str, Encoder] = field(default_factory=dict)

    def __call__(self, plan: Plan, work: Work, done: Contributions, config: FederationConfig) -> Sums:
        """As :class:`Averaging`."""
        prove_headroom(plan)
        encoded = [self._encoder(name, config).encode(plan, work, each) for name, each in done.items()]
        weight, counters = sum(each.weight for each in encoded), np.sum([each.counters for each in encoded], axis=0).astype(np.uint64)
        total = centred(reduce(np.add, [each.words for each in encoded]))
        aggregate = Aggregate(survivors=plan.cohort, weight=weight, update=total, counters=counters)
        return Sums(plan.cohort, weight, decode_counters(work, config.task, counters), mean_update(aggregate, plan))

    def _encoder(self, name: str, config: FederationConfig) -> Encoder:
        return self.encoders.setdefault(name, Encoder(name, config.seed, config.task, MemoryResiduals()))


@dataclass(frozen=True)
class PlainAveraging:
    """Federated averaging of float32 updates in the clear (McMahan et al. 2017, algorithm 1): nothing is encoded.

    Weights have the plan's cap and updates the settings' clip norm, as everywhere; no clip norm is adapted.
    """

    def __call__(self, plan: Plan, work: Work, done: Contributions, config: FederationConfig) -> Sums:
        """As :class:`Averaging`."""
        capped = [weighed(each.counters, work, config.task, min(each.weight, plan.weight_cap)) for each in done.values()]
        counters, weight = np.sum(capped, axis=0).astype(np.uint64), sum(min(each.weight, plan.weight_cap) for each in done.values())
        named = decode_counters(work, config.task, counters)
        return Sums(plan.cohort, weight, named, plain_mean(plan, done, config.aggregation.clip_norm))


@dataclass(frozen=True)
class ComparedAveraging:
    """The ring's sums; the plain ones are made beside them, and what lies between is written down, round by round."""

    ring: RingAveraging = field(default_factory=RingAveraging)
    means: list[NDArray[np.float64]] = field(default_factory=list)
    plain: list[NDArray[np.float64]] = field(default_factory=list)

    def __call__(self, plan: Plan, work: Work, done: Contributions, config: FederationConfig) -> Sums:
        """As :class:`Averaging`."""
        sums = self.ring(plan, work, done, config)
        if plan.layout.update_words:
            self.means.append(sums.mean)
            self.plain.append(plain_mean(plan, done, config.aggregation.clip_norm))
        return sums

    @property
    def error(self) -> float:
        """``‖mean − plain‖ / ‖plain‖`` of a round, averaged over the rounds so far."""
        return float(np.mean([relative(one, other) for one, other in zip(self.means, self.plain, strict=True)]))

    @property
    def drift(self) -> float:
        """The same of the sums over all rounds: what is left of the errors where they cancel or are made good."""
        return relative(np.sum(self.means, axis=0), np.sum(self.plain, axis=0))


def plain_mean(plan: Plan, done: Contributions, clip_norm: float) -> NDArray[np.float64]:
    """The weighted mean ``float64 (d,)`` of the updates, each clipped to ``clip_norm``; empty where there are none."""
    updates = [each.update.astype(np.float64) for each in done.values() if each.update is not None]
    if not updates:
        return np.zeros(0)
    weights = [min(each.weight, plan.weight_cap) for each in done.values() if each.update is not None]
    factors = [min(1.0, clip_norm / max(float(np.linalg.norm(update)), 1e-300)) for update in updates]
    mean: NDArray[np.float64] = np.average(
        [factor * update for factor, update in zip(factors, updates, strict=True)], axis=0, weights=weights
    )
    return mean


def relative(value: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """``‖value − reference‖ / ‖reference‖``."""
    return float(np.linalg.norm(value - reference) / np.linalg.norm(reference))
