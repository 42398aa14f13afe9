"""Distillation without a federation: one teacher, one set of records, one student; every part of it can be gone on with."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from rich.console import Console

from fedstill.plan import builtin_federation, revalidated
from fedstill.progress import progress_bar
from fedstill.report.distilled import DistilSummary, Scores
from fedstill.stopwatch import Stopwatch
from shared.config import FederationConfig, load_config
from shared.errors import RunError
from shared.files import read_bytes, write_atomic
from shared.frozen import Frozen

if TYPE_CHECKING:
    from shared.data import Records, Split
    from shared.distill.depth import Wanted
    from shared.distill.targets import Targets
    from shared.models import Network
    from shared.task import Task
    from shared.teachers import Teacher

PLAN_FILE, SUMMARY_FILE, STUDENT_FILE = "distill.json", "summary.json", "student.safetensors"
FLOAT_BYTES = 4
LARGEST_CACHE_MB = 16_384


class DistilPlan(Frozen):
    """One distillation: the configuration, its teacher (``None``: fitted here, or none is needed), and where it is kept."""

    folder: Path
    federation: FederationConfig
    teacher: Path | None
    epochs: int


def plan_distillation(
    config: Path | None, *, data: str, teacher: Path | None, epochs: int | None, seed: int | None, out: Path | None
) -> DistilPlan:
    """Settles a distillation and writes it into its folder; a folder that holds the same one is gone on with.

    Raises :class:`ConfigError` for what cannot be used and :class:`RunError` for a folder that holds another one.
    """
    federation = load_config(FederationConfig, config) if config is not None else builtin_federation(data)
    federation = revalidated(federation, {} if seed is None else {"seed": seed})
    folder = (out if out is not None else Path("runs") / f"distill-{federation.name}-{time.strftime('%Y%m%d-%H%M%S')}").absolute()
    plan = DistilPlan(
        folder=folder,
        federation=federation,
        teacher=teacher.absolute() if teacher is not None else None,
        epochs=epochs if epochs is not None else federation.rounds * federation.training.epochs,
    )
    if (folder / PLAN_FILE).exists():
        if _read_plan(folder) != plan:
            raise RunError(f"{folder} holds another distillation; give another --out, or the options that it was started with")
        return plan
    write_atomic(folder / PLAN_FILE, plan.model_dump_json(indent=2).encode())
    return plan


def run_distillation(plan: DistilPlan, console: Console) -> DistilSummary:
    """Does what is not done yet of a plan. Raises :class:`FedstillError` and its kinds."""
    from shared.data import load_pool
    from shared.models import load_model

    watch, student_file = Stopwatch(), plan.folder / STUDENT_FILE
    if (plan.folder / SUMMARY_FILE).exists():
        return DistilSummary.model_validate_json(read_bytes(plan.folder / SUMMARY_FILE, what="summary"))
    with watch.part("records"):
        split = load_pool(plan.federation)
    with watch.part("teacher"):
        teacher = _teacher(plan, split.train)
    with watch.part("targets"):
        asked = _targets(plan, teacher, split.train, console) if teacher is not None else None
    with watch.part("student"):
        loss = _train(plan, asked, split.train, console)
    with watch.part("evaluation"):
        summary = _summarise(plan, teacher, load_model(student_file), split, loss, watch)
    summary = summary.model_copy(update={"seconds": dict(watch.parts)})
    write_atomic(plan.folder / SUMMARY_FILE, summary.model_dump_json(indent=2).encode())
    (plan.folder / "fit.safetensors").unlink(missing_ok=True)
    return summary


def _read_plan(folder: Path) -> DistilPlan:
    try:
        plan = DistilPlan.model_validate_json(read_bytes(folder / PLAN_FILE, what="plan"))
    except ValidationError as error:
        raise RunError(f"{folder / PLAN_FILE} is damaged; start again in another folder") from error
    return plan.model_copy(update={"folder": folder})


def _teacher(plan: DistilPlan, records: Records) -> Teacher | None:
    from shared.distill.teacher import fit_teacher, save_teacher
    from shared.teachers import open_teacher

    config = plan.federation
    if config.distillation.teacher != "own":
        return None
    if plan.teacher is not None:
        return open_teacher(plan.teacher, config.task)
    home = plan.folder / "teacher"
    if not (home / "teacher.json").exists():
        save_teacher(home, fit_teacher(records, config.task, config.teacher, config.teacher_training, seed=config.seed))
    return open_teacher(home, config.task)


def _targets(plan: DistilPlan, teacher: Teacher, records: Records, console: Console) -> tuple[Targets, Wanted]:
    from shared.distill.cache import cached_targets, institution_views, order_of, size_of
    from shared.distill.depth import Wanted

    config = plan.federation
    views = institution_views(config.task, config.distillation.views, config.seed, config.name)
    order = order_of(config.student, config.task, config.distillation, teacher)
    size = size_of(teacher, records, views, order)
    console.print(f"the teacher's targets take {size / 1e6:,.1f} MB in {plan.folder}", highlight=False, soft_wrap=True)
    with progress_bar(console, 100) as bar:
        done = 0

        def on_chunk(chunks: int, total: int) -> None:
            nonlocal done
            now = 100 * chunks // max(total, 1)
            bar.advance("asking the teacher", now - done)
            done = now

        targets = cached_targets(plan.folder, teacher, records, views, order, limit_mb=LARGEST_CACHE_MB, say=bar.say, on_chunk=on_chunk)
    return targets, Wanted(order.hidden, order.attentions)


def _train(plan: DistilPlan, asked: tuple[Targets, Wanted] | None, records: Records, console: Console) -> float:
    from shared.distill.alone import distil_alone
    from shared.distill.cache import institution_views
    from shared.distill.resume import Resume
    from shared.models import save_model

    config = plan.federation
    targets, wanted = asked if asked is not None else (None, None)
    views = institution_views(config.task, config.distillation.views, config.seed, config.name) if config.distillation.views > 1 else None
    # The plan's file stands for the whole fit: another plan cannot be in this folder.
    resume = Resume(plan.folder / "fit.safetensors", hashlib.sha256(plan.model_dump_json().encode()).hexdigest())
    with progress_bar(console, plan.epochs) as bar:
        student, outcome = distil_alone(
            records,
            config,
            targets,
            epochs=plan.epochs,
            seed=config.seed,
            wanted=wanted,
            views=views,
            resume=resume,
            on_epoch=lambda loss: bar.advance(f"distilling, loss {loss:.4f}"),
        )
    save_model(plan.folder / STUDENT_FILE, student)
    return outcome.loss


def _summarise(plan: DistilPlan, teacher: Teacher | None, student: Network, split: Split, loss: float, watch: Stopwatch) -> DistilSummary:
    theirs = _teacher_scores(teacher, split.test, plan.federation.task) if teacher is not None else None
    ours = _student_scores(student, split.test, plan.federation.task)
    return DistilSummary(
        name=plan.federation.name,
        folder=plan.folder,
        records=len(split.train),
        held_out=len(split.test),
        epochs=plan.epochs,
        train_loss=loss,
        teacher=theirs,
        student=ours,
        kept=ours.accuracy / theirs.accuracy if theirs is not None and theirs.accuracy else None,
        targets_mb=sum(file.stat().st_size for file in plan.folder.glob("targets-*/**/*") if file.is_file()) / 1e6,
        seconds={},
    )


def _teacher_scores(teacher: Teacher, records: Records, task: Task) -> Scores:
    import numpy as np

    from shared.compress.latency import median_seconds
    from shared.distill.evaluation import score
    from shared.distill.targets import SHOWN

    batches = np.array_split(np.arange(len(records)), -(-len(records) // SHOWN))
    logits = np.concatenate([teacher.show(records.take(rows)).logits.numpy() for rows in batches])
    found, one = score(logits, records.labels, len(task.labels), task.heads), records.take(np.arange(1))
    return Scores(
        accuracy=found.accuracy,
        macro_f1=found.macro_f1,
        loss=found.loss,
        parameters=teacher.parameters,
        bytes=teacher.parameters * FLOAT_BYTES if teacher.parameters is not None else None,
        latency_ms=1000 * median_seconds(lambda: teacher.show(one), repeats=30, warm_up=3),
    )


def _student_scores(student: Network, records: Records, task: Task) -> Scores:
    from shared.compress.latency import torch_latency
    from shared.distill import evaluate
    from shared.models import count_parameters

    found, parameters = evaluate(student, records, len(task.labels), task.heads), count_parameters(student)
    return Scores(
        accuracy=found.accuracy,
        macro_f1=found.macro_f1,
        loss=found.loss,
        parameters=parameters,
        bytes=parameters * FLOAT_BYTES,
        latency_ms=1000 * torch_latency(student, records.inputs),
    )
