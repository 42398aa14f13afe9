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

from benchmarks.averaging import Averaging, RingAveraging
from client.handlers import Workbench
from server.phases import PHASES, Asked, Kit, Sums, first_state
from server.state import RunState
from shared.secagg.encoding import threshold_for
from shared.secagg.messages import Layout, Plan
from shared.work import counter_fields

Watcher = Callable[[RunState], None]
"""Sees the state after every closed round (a progress line, a learning curve)."""
Tap = Callable[[Asked, Plan], None]
"""Sees what a round asks before it is asked (a measurement of what travels)."""


def no_tap(_asked: Asked, _plan: Plan) -> None:
    """Sees nothing."""


@dataclass(frozen=True)
class Federation:
    """Institutions by name, what the coordinator needs of the product, and how their contributions are summed."""

    kit: Kit
    institutions: Mapping[str, Workbench]
    averaging: Averaging = field(default_factory=RingAveraging)

    def run(self, *, until: str = "publish", watch: Watcher = lambda state: None, tap: Tap = no_tap) -> RunState:
        """All rounds up to the phase ``until``: the state that a deployed run would have then."""
        state = first_state(self.kit.config)
        number = 0
        while state.facts.phase in PHASES and state.facts.phase != until:
            number += 1
            phase = PHASES[state.facts.phase]
            asked = phase.ask(state, self.kit)
            plan = self._plan(asked, number)
            tap(asked, plan)
            state = phase.apply(state, self._sums(asked, plan), self.kit)
            watch(state)
        return state

    def _sums(self, asked: Asked, plan: Plan) -> Sums:
        done = {name: bench.perform(asked.work, asked.blob, plan.round) for name, bench in self.institutions.items()}
        return self.averaging(plan, asked.work, done, self.kit.config)

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
