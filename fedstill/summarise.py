"""From a finished run to the figures of its report."""

from __future__ import annotations

import resource
from collections.abc import Mapping, Sequence

import numpy as np

from fedstill.baselines import load_splits
from fedstill.machine import describe_machine
from fedstill.plan import ExperimentPlan
from fedstill.report.summary import ModelFigures, RoundCounts, RoundFigures, Summary
from fedstill.stopwatch import Stopwatch
from fedstill.workspace import Workspace
from server.coordinator import RunResult
from server.planning import privacy_planner
from server.records import RoundRecord


def summarise(
    plan: ExperimentPlan,
    workspace: Workspace,
    result: RunResult,
    figures: Mapping[str, ModelFigures],
    agreement: float,
    watch: Stopwatch,
) -> Summary:
    """Everything that ``summary.json`` holds."""
    training = [record for record in result.rounds if record.phase == "train"]
    closed = [record for record in training if record.status == "closed"]
    sent = {name: float(np.mean([record.bytes_up.get(name, 0) for record in closed])) for name in workspace.institutions}
    numbers = _logits(plan) or figures["fedstill"].parameters or 1
    privacy = privacy_planner(plan.federation)
    return Summary(
        name=plan.federation.name,
        run=plan.run,
        run_dir=str(plan.folder),
        artifact=str(result.artifact),
        institutions=len(workspace.institutions),
        records={name: (len(split.train), len(split.test)) for name, split in load_splits(workspace.institutions).items()},
        labels=plan.federation.task.labels,
        seconds=watch.seconds,
        seconds_by_part=dict(watch.parts),
        peak_memory_mb=_peak_memory_mb(),
        rounds=RoundCounts(planned=plan.federation.update_rounds, closed=len(closed), void=len(training) - len(closed)),
        history=tuple(_round(record) for record in result.rounds),
        metrics=dict(figures),
        agreement=agreement,
        bytes_up_per_round=sent,
        bytes_up_per_parameter=float(np.mean(list(sent.values()))) / numbers,
        bytes_down_per_parameter=_bytes_down(closed) / numbers,
        answers=plan.federation.proxy is not None,
        machine=describe_machine(),
        seed=plan.federation.seed,
        objective=objectives(workspace),
        knowledge_trust=closed[-1].metrics.get("knowledge_trust") if closed else None,
        knowledge_used=closed[-1].metrics.get("knowledge_used") if closed else None,
        epsilon=privacy.spent(result.rounds) if privacy is not None else None,
        delta=privacy.settings.delta if privacy is not None else None,
        notes=tuple(note for record in result.rounds for note in _notes(record)),
    )


def objectives(workspace: Workspace) -> dict[str, tuple[str, ...]]:
    """Which terms taught in the last round, as each institution's own folder says, with whom they did; empty where none says it."""
    from client.training import IN_FORCE_FILE

    found: dict[str, tuple[str, ...]] = {}
    for name, home in workspace.institutions.items():
        if (path := home / "state" / IN_FORCE_FILE).exists():
            sentence = path.read_text().strip()
            found[sentence] = (*found.get(sentence, ()), name)
    return found


def _logits(plan: ExperimentPlan) -> int:
    from shared.data.proxy import count_proxy

    return count_proxy(plan.federation) * len(plan.federation.task.labels)


def _bytes_down(training: Sequence[RoundRecord]) -> float:
    # Of a run with one training round there is no other than the first.
    sizes = [size for record in training[1:] or training for size in record.bytes_down.values()]
    return float(np.mean(sizes)) if sizes else 0.0


def _round(record: RoundRecord) -> RoundFigures:
    return RoundFigures(
        number=record.number,
        phase=record.phase,
        status="void" if record.status == "void" else "closed",
        survivors=record.survivors if record.status == "closed" else (),
        absent=tuple(sorted({*record.absent, *record.refused})),
        reason=record.reason,
        accuracy=record.metrics.get("accuracy"),
        loss=record.metrics.get("loss"),
        bytes_up=record.bytes_up,
        seconds=sum(record.seconds.values()),
    )


def _notes(record: RoundRecord) -> list[str]:
    where = f"training round {record.training_round}" if record.training_round is not None else f"round {record.number} ({record.phase})"
    lost = sorted({*record.absent, *record.refused})
    notes = [f"{', '.join(lost)} vanished in {where}"] if lost else []
    notes += [f"{name} gave wrong shares or commitments in {where}; they were left out" for name in record.blamed]
    notes += [f"{a} or {b} committed to a wrong seed in {where}; nobody can tell which" for a, b in record.doubted]
    if record.status == "void":
        notes.append(f"{where} was void ({record.reason}) and was trained anew")
    return notes


def _peak_memory_mb() -> float:
    # Kilobytes on Linux; the children are the workers that fit teachers and baselines.
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (own + children) / 1024
