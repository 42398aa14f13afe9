"""A federation's rounds in one process, without Flower and without masks: the product's parts, and nothing else.

Phases, workbenches, encodings up and down, server optimiser and calibration are those of a deployed run. Only the masks are
left out: they cancel exactly in the ring, so the sum that the coordinator would see is the very same integers
(``tests/shared/secagg`` shows it), and leaving them out changes no digit of the student. A round here costs what its
training costs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce

import numpy as np

from client.encoder import Encoder
from client.handlers import Workbench
from client.residuals import MemoryResiduals
from server.phases import PHASES, Asked, Kit, Sums, decode_counters, first_state
from server.state import RunState
from shared.secagg.encoding import centred, mean_update, prove_headroom, threshold_for
from shared.secagg.messages import Aggregate, Layout, Plan
from shared.work import counter_fields

Watcher = Callable[[RunState], None]
"""Sees the state after every closed round (a progress line, a learning curve)."""


@dataclass(frozen=True)
class Federation:
    """Institutions by name, and what the coordinator needs of the product."""

    kit: Kit
    institutions: Mapping[str, Workbench]
    _encoders: dict[str, Encoder] = field(default_factory=dict)

    def run(self, *, until: str = "publish", watch: Watcher = lambda state: None) -> RunState:
        """All rounds up to the phase ``until``: the state that a deployed run would have then."""
        state = first_state(self.kit.config)
        number = 0
        while state.facts.phase in PHASES and state.facts.phase != until:
            number += 1
            phase = PHASES[state.facts.phase]
            state = phase.apply(state, self._sums(phase.ask(state, self.kit), number), self.kit)
            watch(state)
        return state

    def _sums(self, asked: Asked, number: int) -> Sums:
        plan = self._plan(asked, number)
        prove_headroom(plan)
        words = []
        counters = np.zeros(plan.layout.counters, np.uint64)
        weights = 0
        for name, bench in self.institutions.items():
            encoded = self._encoder(name).encode(plan, asked.work, bench.perform(asked.work, asked.blob, number))
            words.append(encoded.words)
            counters += encoded.counters.astype(np.uint64)
            weights += encoded.weight
        aggregate = Aggregate(survivors=plan.cohort, weight=weights, update=centred(reduce(np.add, words)), counters=counters)
        named = decode_counters(asked.work, self.kit.config.task, counters)
        return Sums(plan.cohort, weights, named, mean_update(aggregate, plan))

    def _encoder(self, name: str) -> Encoder:
        config = self.kit.config
        return self._encoders.setdefault(name, Encoder(name, config.seed, config.task, MemoryResiduals()))

    def _plan(self, asked: Asked, number: int) -> Plan:
        settings, cohort = self.kit.config.aggregation, tuple(sorted(self.institutions))
        counters = sum(field.length for field in counter_fields(asked.work, self.kit.config.task))
        return Plan(
            run="benchmark",
            epoch=1,
            round=number,
            roster_digest=bytes(32),
            keys_digest=bytes(32),
            cohort=cohort,
            threshold=threshold_for(len(cohort), settings.collusion),
            share_threshold=threshold_for(len(cohort), settings.collusion),
            collusion=settings.collusion,
            layout=Layout(update_words=asked.update_words, counters=counters, width=settings.width),
            clip_norm=asked.clip_norm or settings.clip_norm,
            rotation=settings.rotation and asked.update_words > 0,
            weight_cap=asked.weight_cap,
            body=asked.work.canonical(),
            blob_digest=hashlib.sha256(asked.blob).digest(),
        )
