"""What the coordinator counts, read from its store: rounds, seconds, bytes, absences, refusals, epsilon and the gate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from prometheus_client.metrics_core import Metric

from server.judged import gate_of
from server.planning import privacy_planner
from server.records import RoundRecord
from server.site import CoordinatorSite
from server.store import Store
from shared.errors import DeploymentError
from shared.metrics import counter, gauge
from shared.service import read_status

Counts = Counter[tuple[str, ...]]


def read_metrics(site: CoordinatorSite, status: Path) -> Iterator[Metric]:
    """All families; raises :class:`shared.errors.ResourceError` where the store cannot be read. ``status`` is the service's file."""
    records = {run: site.store.records(run) for run in site.store.runs()}
    yield from _counters(records)
    yield gauge("fedstill_run_finished", "Whether the run has its signed artifact.", ("run",), _finished(site, records))
    yield gauge("fedstill_figure", "The newest figure of each name, over a whole cohort.", ("run", "name"), _figures(records))
    yield gauge("fedstill_institutions_online", "Institutions that are connected now.", (), [((), float(_online(status)))])
    yield gauge("fedstill_epsilon", "What the updates have cost each institution's privacy so far.", ("run",), _epsilon(site, records))
    yield from _gate(site.store, records)


def _counters(records: Mapping[str, tuple[RoundRecord, ...]]) -> Iterator[Metric]:
    rounds, sizes, absences, refusals = Counts(), Counts(), Counts(), Counts()
    spent: dict[tuple[str, ...], float] = {}
    for run, found in records.items():
        for record in found:
            rounds[run, record.phase, record.status] += 1
            absences.update((run, name) for name in record.absent)
            refusals.update((run, name) for name in record.refused)
            for direction, counted in (("up", record.bytes_up), ("down", record.bytes_down)):
                for name, size in counted.items():
                    sizes[run, name, direction] += size
            for stage, took in record.seconds.items():
                spent[run, stage] = spent.get((run, stage), 0.0) + took
    yield counter("fedstill_rounds", "Rounds by phase, and how they ended.", ("run", "phase", "status"), rounds.items())
    yield counter("fedstill_stage_seconds", "Seconds of waiting for each stage's answers.", ("run", "stage"), spent.items())
    yield counter("fedstill_bytes", "Bytes from (up) and to (down) each institution.", ("run", "institution", "direction"), sizes.items())
    yield counter("fedstill_absences", "Rounds in which an institution did not answer.", ("run", "institution"), absences.items())
    yield counter("fedstill_refusals", "Rounds in which an institution refused.", ("run", "institution"), refusals.items())


def _finished(site: CoordinatorSite, records: Mapping[str, tuple[RoundRecord, ...]]) -> Iterator[tuple[tuple[str, ...], float]]:
    for run in records:
        status = site.store.run_status(run)
        yield (run,), float(status is not None and status[0] == "finished")


def _figures(records: Mapping[str, tuple[RoundRecord, ...]]) -> Iterator[tuple[tuple[str, ...], float]]:
    for run, found in records.items():
        newest: dict[str, float] = {}
        for record in found:
            newest.update(record.metrics)
        for name, value in sorted(newest.items()):
            yield (run, name), value


def _epsilon(site: CoordinatorSite, records: Mapping[str, tuple[RoundRecord, ...]]) -> Iterator[tuple[tuple[str, ...], float]]:
    privacy = privacy_planner(site.config)
    if privacy is not None:
        for run, found in records.items():
            yield (run,), privacy.spent(found)


def _gate(store: Store, records: Mapping[str, tuple[RoundRecord, ...]]) -> Iterator[Metric]:
    right: list[tuple[tuple[str, ...], float]] = []
    agree: list[tuple[tuple[str, ...], float]] = []
    for run, found in records.items():
        if (gate := gate_of(store, run, found)) is not None:
            tried = max(1, gate.records)
            right.append(((run, "float"), gate.float_right / tried))
            right += [((run, one.name), one.right / tried) for one in gate.candidates]
            agree += [((run, one.name), one.agree / tried) for one in gate.candidates]
    yield gauge("fedstill_gate_accuracy", "Accuracy on held-out records by graph: float, and each INT8 candidate.", ("run", "graph"), right)
    yield gauge("fedstill_gate_agreement", "How often an INT8 candidate agrees with the float graph.", ("run", "graph"), agree)


def _online(status: Path) -> int:
    try:
        return len(read_status(status).online)
    except DeploymentError:
        return 0
