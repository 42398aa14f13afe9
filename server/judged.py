"""What the gate has counted of a run's candidates, read from the store: for the metrics and for the console."""

from __future__ import annotations

from collections.abc import Sequence

from server.records import RoundRecord
from server.store import Store
from shared.frozen import Frozen
from shared.rpc.codec import from_wire
from shared.secagg.messages import TrainRequest
from shared.work import GateWork, parse_work


class Judged(Frozen):
    """One INT8 candidate on the held-out records: how often it was right, and how often it said what the float graph says."""

    name: str
    right: int
    agree: int


class Gate(Frozen):
    """The newest closed gate of a run: sums over the cohort's held-out ``records``."""

    records: int
    float_right: int
    candidates: tuple[Judged, ...]


def gate_of(store: Store, run: str, records: Sequence[RoundRecord]) -> Gate | None:
    """The newest closed gate among a run's ``records``; ``None`` before there is one. Loads one plan, which names the candidates."""
    closed = [record for record in records if record.phase == "gate" and record.status == "closed"]
    if not closed:
        return None
    counters, names = closed[-1].counters, _candidates(store.plan(run, closed[-1].number))
    counts = zip(names, counters["gate_right"], counters["gate_agree"], strict=True)
    candidates = tuple(Judged(name=name, right=right, agree=agree) for name, right, agree in counts)
    return Gate(records=counters["gate_records"][0], float_right=counters["gate_float_right"][0], candidates=candidates)


def _candidates(plan: bytes | None) -> tuple[str, ...]:
    work = None if plan is None else parse_work(from_wire(TrainRequest, plan).plan.body)
    return work.candidates if isinstance(work, GateWork) else ()
