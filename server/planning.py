"""From a run's state to a round that can be asked, and from its aggregate back to named sums."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from server.phases import PHASES, Asked, Kit, Sums, decode_counters
from server.records import Epoch, RoundRecord, StoredRound
from server.site import CoordinatorSite
from server.state import DELTA_SUFFIX, RunState
from shared.config import FederationConfig
from shared.files import write_atomic
from shared.rpc.codec import from_wire, seal_request, to_wire
from shared.secagg.encoding import count_offset, mean_update, prove_headroom, threshold_for
from shared.secagg.graph import degree_for, share_threshold_for
from shared.secagg.messages import Aggregate, EpochKey, Layout, Plan, TrainRequest
from shared.secagg.signing import keys_digest
from shared.task import Task
from shared.work import counter_fields, parse_work

if TYPE_CHECKING:
    from server.privacy import PrivacyPlanner


@dataclass(frozen=True)
class RoundPlanner:
    """Plans rounds of one run and writes them down before anything is sent."""

    run: str
    folder: Path
    site: CoordinatorSite
    kit: Kit

    def plan(self, number: int, epoch: Epoch, cohort: tuple[str, ...], state: RunState) -> StoredRound:
        """The next round of the state's phase over ``cohort``: its blob on disk, its requests in the store.

        Raises :class:`shared.secagg.errors.IllegalPlan` where the vector could overflow.
        """
        asked = PHASES[state.facts.phase].ask(state, self.kit)
        keys = tuple(from_wire(EpochKey, content) for content in epoch.keys.values())
        plan = self._plan(number, epoch, keys, cohort, asked)
        privacy = self._privacy(asked)
        if privacy is not None:
            plan = privacy.noised(plan)
        prove_headroom(plan)
        request = to_wire(TrainRequest(plan=plan, keys=keys))
        if asked.blob_name:
            write_atomic(self.folder / asked.blob_name, asked.blob)
        if asked.delta:
            write_atomic((self.folder / asked.blob_name).with_suffix(DELTA_SUFFIX), asked.delta)
        record = RoundRecord(
            number=number,
            phase=state.facts.phase,
            training_round=state.facts.version + 1 if state.facts.phase == "train" else None,
            attempt=self._attempt(),
            epoch=epoch.number,
            cohort=cohort,
            rho=privacy.cost(plan) if privacy is not None else 0.0,
        )
        stored = StoredRound(record, state.facts.version, request, asked.blob_name)
        sealed = seal_request("train", request, self.site.identity)
        self.site.store.open_round(self.run, stored, dict.fromkeys(cohort, sealed))
        return stored

    def _plan(self, number: int, epoch: Epoch, keys: tuple[EpochKey, ...], cohort: tuple[str, ...], asked: Asked) -> Plan:
        settings = self.site.config.aggregation
        threshold, degree = threshold_for(len(cohort), settings.collusion), degree_for(len(keys), settings.collusion)
        counters = sum(field.length for field in counter_fields(asked.work, self.site.config.task))
        return Plan(
            run=self.run,
            epoch=epoch.number,
            round=number,
            roster_digest=self.site.roster.digest,
            keys_digest=keys_digest(keys),
            cohort=cohort,
            threshold=threshold,
            share_threshold=share_threshold_for(len(keys), degree, settings.collusion) if degree else threshold,
            collusion=settings.collusion,
            layout=Layout(update_words=asked.update_words, counters=counters, width=settings.width),
            clip_norm=asked.clip_norm or settings.clip_norm,
            weight_cap=asked.weight_cap,
            body=asked.work.canonical(),
            blob_digest=hashlib.sha256(asked.blob).digest(),
            degree=degree,
            fragments={name: ranges for name, ranges in asked.fragments.items() if name in cohort},
            rotation=settings.rotation and asked.update_words > 0,
            smallest_cohort=settings.smallest_cohort,
        )

    def _privacy(self, asked: Asked) -> PrivacyPlanner | None:
        return privacy_planner(self.site.config) if asked.update_words else None

    def _attempt(self) -> int:
        last = self.site.store.newest_round(self.run)
        return last.record.attempt + 1 if last is not None and last.record.status == "void" else 0


def privacy_planner(config: FederationConfig) -> PrivacyPlanner | None:
    """The planner of a federation's noise, if it wants any."""
    if config.privacy is None:
        return None
    from server.privacy import PrivacyPlanner

    return PrivacyPlanner(config.privacy, config.update_rounds)


def decode(request: bytes, aggregate: Aggregate, task: Task) -> Sums:
    """The named sums of a closed round; ``request`` is its encoded Train request."""
    plan = from_wire(TrainRequest, request).plan
    counters = decode_counters(parse_work(plan.body), task, aggregate.counters)
    if "unclipped" in counters:
        counters["unclipped"] = counters["unclipped"] - len(aggregate.survivors) * count_offset(plan)
    return Sums(aggregate.survivors, aggregate.weight, counters, mean_update(aggregate, plan), plan.blob_digest)
