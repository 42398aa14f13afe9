"""The run: phases in order, rounds until each has its sum, void ones anew, and at the end the artifact.

The coordinator knows an exchange and a store, not Flower. After every closed round the whole state is a checkpoint on
disk; whatever happens in between, the same call goes on where it stopped, and ends with the bit-identical student.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from server.cohort import Gathering
from server.epochs import EpochKeeper
from server.events import (
    ArtifactWritten,
    BudgetSpent,
    Event,
    PhaseStarted,
    PrivacyStated,
    RoundClosed,
    RoundStarted,
    RoundVoid,
    RunFinished,
    RunStarted,
    RunStopped,
)
from server.journal import Journal
from server.locking import run_lock
from server.phases import PHASES, Kit, end_training, first_state
from server.planning import RoundPlanner, decode, privacy_planner
from server.records import RoundRecord, StoredRound
from server.rounds import Closed, RoundRunner, Void
from server.site import CoordinatorSite
from server.state import DELTA_SUFFIX, RunState
from server.stopping import Interrupted, StopSignal
from server.toolbox import Publication, Toolbox
from shared.config import FederationConfig
from shared.errors import RunError
from shared.exchange import Exchange

CHECKPOINTS_KEPT = 2
"""Checkpoints, versions of what goes down and deltas that stay in a run's folder; the newest is the one a run goes on from."""
FREE_SETTINGS = ("deadline_s", "most_void_rounds")
"""Settings of [aggregation] that may change between two starts of a run: they do not change its student."""


@dataclass(frozen=True)
class RunResult:
    """A finished run: where its student and its signed artifact lie, and every round's record in order."""

    run: str
    folder: Path
    student: Path
    artifact: Path
    rounds: tuple[RoundRecord, ...]


class Coordinator:
    """Runs runs of one coordinator's folder over an exchange."""

    def __init__(
        self,
        site: CoordinatorSite,
        exchange: Exchange,
        on_event: Callable[[Event], None] = lambda event: None,
        *,
        toolbox: Toolbox | None = None,
        stop: StopSignal | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``toolbox`` stands for models and compression (tests bring a small one); ``stop`` asks the run to stop."""
        self._site = site
        self._exchange = exchange
        self._on_event = on_event
        self._toolbox = toolbox
        self._stop = stop or StopSignal()
        self._clock = clock

    def run(self, run: str) -> RunResult:
        """Takes a run to its end; one that was begun before goes on.

        Raises :class:`RunError` where it cannot go on (too few institutions, too many void rounds in a row, another
        configuration), and :class:`Interrupted` when asked to stop, by the stop signal or by Ctrl-C.
        """
        folder = self._site.run_folder(run)
        with run_lock(folder, run):
            try:
                return self._go(run, folder)
            except KeyboardInterrupt as interruption:
                closed = len(self._site.store.rounds(run, "closed"))
                self._emit(run, RunStopped(run=run, closed_rounds=closed))
                raise Interrupted(f"run '{run}' was stopped after {closed} closed rounds; start it again to go on") from interruption

    def _go(self, run: str, folder: Path) -> RunResult:
        self._begin(run)
        kit = Kit(self._site.config, self._tools())
        state = self._latest_state(run, folder)
        phase = None
        while state.facts.phase in PHASES:
            self._stop.check()
            if state.facts.phase != phase:
                phase = state.facts.phase
                self._emit(run, PhaseStarted(phase=phase))
            if self._budget_is_spent(run, state):
                state = end_training(state, kit)
                continue
            state = self._round(run, folder, state, kit)
        return self._publish(run, folder, state, kit)

    def _begin(self, run: str) -> None:
        config, digest = self._site.config, self._site.roster.digest
        before = self._site.store.run_config(run)
        if before is None:
            self._site.store.start_run(run, config.canonical(), digest)
        elif _binding(before[0]) != _binding(config.canonical()):
            raise RunError(f"run '{run}' was begun with another federation.toml; restore it or begin a run of another name")
        elif before[1] != digest:
            raise RunError(f"run '{run}' was begun with another roster; begin a run of another name")
        roster = tuple(sorted(self._site.roster.members))
        self._emit(run, RunStarted(run=run, roster=roster, rounds=config.update_rounds, resumed=before is not None))
        privacy = privacy_planner(config)
        if privacy is not None:
            epsilon, delta, spent = privacy.settings.epsilon, privacy.settings.delta, privacy.spent(self._records(run))
            self._emit(run, PrivacyStated(epsilon=epsilon, delta=delta, rounds=config.update_rounds, spent=spent))

    def _budget_is_spent(self, run: str, state: RunState) -> bool:
        privacy = privacy_planner(self._site.config) if state.facts.phase == "train" else None
        records = self._records(run) if privacy is not None else ()
        # An open round is in the budget already.
        if privacy is None or (records and records[-1].status == "open") or not privacy.exhausted(records):
            return False
        epsilon, delta = privacy.spent(records), privacy.settings.delta
        self._emit(run, BudgetSpent(epsilon=epsilon, delta=delta, rounds=state.facts.version))
        return True

    def _records(self, run: str) -> tuple[RoundRecord, ...]:
        return tuple(stored.record for stored in self._site.store.rounds(run))

    def _latest_state(self, run: str, folder: Path) -> RunState:
        closed = self._site.store.rounds(run, "closed")
        return RunState.read(folder / closed[-1].checkpoint) if closed else first_state(self._site.config)

    def _round(self, run: str, folder: Path, state: RunState, kit: Kit) -> RunState:
        stored, resumed = self._asked(run, folder, state, kit)
        record = stored.record
        self._emit(
            run,
            RoundStarted(
                number=record.number,
                phase=record.phase,
                cohort=record.cohort,
                training_round=record.training_round,
                attempt=record.attempt,
                resumed=resumed,
            ),
        )
        journal = Journal(record, partial(self._emit, run))
        outcome = self._runner(run, folder).carry(stored, journal)
        if isinstance(outcome, Void):
            self._void(run, journal.record, outcome)
            return state
        return self._close(run, folder, stored, journal.record, outcome, state, kit)

    def _asked(self, run: str, folder: Path, state: RunState, kit: Kit) -> tuple[StoredRound, bool]:
        last = self._site.store.newest_round(run)
        if last is not None and last.record.status == "open":
            return last, True
        number = last.record.number + 1 if last is not None else 1
        gathering = Gathering(self._exchange, self._site.roster, self._site.config.aggregation, self._stop)
        gathering.wait(everyone=number == 1)
        epoch = self._keeper(run).current(number, self._site.config.aggregation.smallest_cohort)
        cohort = gathering.cohort(epoch)
        planner = RoundPlanner(run, folder, self._site, kit)
        return planner.plan(number, epoch, cohort, state), False

    def _void(self, run: str, record: RoundRecord, outcome: Void) -> None:
        settled = record.model_copy(update={"status": "void", "reason": outcome.reason})
        self._site.store.settle_round(run, settled)
        missing = tuple(sorted({*settled.absent, *settled.refused}))
        self._emit(run, RoundVoid(number=settled.number, phase=settled.phase, reason=outcome.reason, absent=missing))
        if settled.attempt >= self._site.config.aggregation.most_void_rounds:
            who = f"; missing in the last: {', '.join(missing)}" if missing else ""
            raise RunError(f"run '{run}' had {settled.attempt + 1} void rounds in a row{who}; start it again when they can be reached")

    def _close(
        self, run: str, folder: Path, stored: StoredRound, record: RoundRecord, outcome: Closed, state: RunState, kit: Kit
    ) -> RunState:
        sums = decode(stored.plan, outcome.aggregate, self._site.config.task)
        after = PHASES[state.facts.phase].apply(state, sums, kit)
        settled = record.model_copy(
            update={
                "status": "closed",
                "survivors": sums.survivors,
                "blamed": outcome.aggregate.blamed,
                "doubted": outcome.aggregate.doubted,
                "weight": sums.weight,
                "counters": {name: tuple(counts.tolist()) for name, counts in sums.counters.items()},
                "metrics": after.facts.metrics,
            }
        )
        checkpoint = f"state-r{record.number:06d}.safetensors"
        after.write(folder / checkpoint)
        self._site.store.settle_round(run, settled, checkpoint)
        self._emit(
            run,
            RoundClosed(
                number=settled.number,
                phase=settled.phase,
                survivors=settled.survivors,
                blamed=settled.blamed,
                doubted=settled.doubted,
                metrics=settled.metrics,
                seconds=settled.seconds,
            ),
        )
        _forget_old(folder)
        return after

    def _publish(self, run: str, folder: Path, state: RunState, kit: Kit) -> RunResult:
        store = self._site.store
        rounds = tuple(stored.record for stored in store.rounds(run))
        status = store.run_status(run)
        if status is None or status[0] != "finished":
            self._emit(run, PhaseStarted(phase="publish"))
            version = store.finished_runs() + 1
            artifact = kit.toolbox.publish(Publication(run, folder, state, rounds, self._site.roster.digest, version))
            store.finish_run(run, str(artifact.relative_to(folder)))
            self._emit(run, ArtifactWritten(path=str(artifact)))
        else:
            artifact = folder / status[1]
        self._emit(run, RunFinished(run=run, artifact=str(artifact)))
        return RunResult(run, folder, folder / "student.safetensors", artifact, rounds)

    def _tools(self) -> Toolbox:
        if self._toolbox is None:
            from server.tools import InstalledToolbox

            self._toolbox = InstalledToolbox(self._site)
        return self._toolbox

    def _runner(self, run: str, folder: Path) -> RoundRunner:
        site, settings = self._site, self._site.config.aggregation
        return RoundRunner(run, folder, self._exchange, site.store, site.identity, site.roster, settings.deadline_s, settings.downlink)

    def _keeper(self, run: str) -> EpochKeeper:
        site = self._site
        emit = partial(self._emit, run)
        return EpochKeeper(run, self._exchange, site.store, site.identity, site.roster, site.config.aggregation.deadline_s, emit)

    def _emit(self, run: str, event: Event) -> None:
        self._site.store.add_event(run, self._clock(), event)
        self._on_event(event)


def _binding(config: bytes) -> object:
    # What the student depends on.
    table = FederationConfig.parse(config).model_dump(mode="json")
    for name in FREE_SETTINGS:
        del table["aggregation"][name]
    return json.dumps(table, sort_keys=True)


def _forget_old(folder: Path) -> None:
    models = [f"{kind}-v*{suffix}" for kind in ("student", "consensus", "pruned") for suffix in (".safetensors", DELTA_SUFFIX)]
    for pattern in ("state-r*.safetensors", *models):
        for path in sorted(folder.glob(pattern))[:-CHECKPOINTS_KEPT]:
            path.unlink(missing_ok=True)
