"""Distillation without a federation: one teacher, one set of records, one student; killed anywhere, it goes on to the same student."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from rich.console import Console

from fedstill.fitting import Fitting, Kind, check_kind, fit_at
from fedstill.plan import revalidated
from fedstill.progress import counted, progress_bar
from fedstill.report.distilled import DistilSummary
from fedstill.stopwatch import Stopwatch
from server.locking import run_lock
from shared.config import FederationConfig
from shared.errors import CheckpointError, ConfigError, MissingFileError, RunError
from shared.files import read_bytes, write_atomic
from shared.frozen import Frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.data import Records, Split
    from shared.distill.depth import Wanted
    from shared.distill.resume import Resume
    from shared.distill.share import Share
    from shared.distill.targets import Targets
    from shared.distill.trainer import Outcome
    from shared.models import Network
    from shared.teachers import Teacher

PLAN_FILE, SUMMARY_FILE, FIT_FILE, FITTED_FILE = "distill.json", "summary.json", "fit.safetensors", "fitted.json"
TEACHER_FIT_FILE, STUDENT_FILE, GRAPH_FILE = "teacher-fit.safetensors", "student.safetensors", "student.onnx"
LARGEST_CACHE_MB = 16_384
"""What kept answers may take on disk unless another limit is given."""
MODELS = ("own", "mutual")
"""Kinds of ``distillation.teacher`` that need a model."""
SAMPLES = 64
"""Held-out records on which the exported graph is compared with the student."""


class DistilPlan(Frozen):
    """One distillation: the configuration, its teacher (``None``: fitted here, or none is needed), and where it is kept.

    A teacher that is fitted here is of ``teacher_kind``, a pretrained one from ``base`` (:class:`fedstill.fitting.Fitting`).
    ``threads`` is part of it, since other threads add up in another order, and so is ``cache_limit_mb``, above which the teacher is
    asked live, in more digits than are kept.
    """

    folder: Path
    federation: FederationConfig
    teacher: Path | None
    epochs: int
    threads: int = 1
    teacher_kind: Kind = "network"
    base: str | None = None
    cache_limit_mb: int = LARGEST_CACHE_MB
    device: str = "auto"
    processes: int = 1


class Fitted(Frozen):
    """``fitted.json``: the student in the folder is the one that ``key`` (plan, teacher, records) leads to."""

    key: str
    student_sha256: str
    train_loss: float
    epochs: int
    objective: str = ""


def plan_distillation(
    federation: FederationConfig,
    *,
    teacher: Path | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    out: Path | None = None,
    threads: int = 1,
    teacher_kind: Kind | None = None,
    base: str | None = None,
    cache_limit_mb: int = LARGEST_CACHE_MB,
    device: str = "auto",
    processes: int = 1,
) -> DistilPlan:
    """Settles a distillation; a folder that holds the same one is gone on with. Writes nothing.

    Raises :class:`ConfigError` for what cannot be used, :class:`MissingFileError` for a ``base`` that is not there, and
    :class:`RunError` for a folder that holds something else.
    """
    federation = revalidated(federation, {} if seed is None else {"seed": seed})
    _check_teacher(federation, teacher, teacher_kind, base)
    folder = out if out is not None else Path("runs") / f"distill-{federation.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    plan = DistilPlan(
        folder=folder.absolute(),
        federation=federation,
        teacher=teacher.absolute() if teacher is not None else None,
        epochs=epochs if epochs is not None else federation.rounds * federation.training.epochs,
        threads=threads,
        teacher_kind=teacher_kind or "network",
        base=str(Path(base).absolute()) if base is not None and federation.task.family == "text" else base,
        cache_limit_mb=cache_limit_mb,
        device=device,
        processes=processes,
    )
    _check_folder(plan)
    return plan


def run_distillation(plan: DistilPlan, console: Console) -> DistilSummary:
    """Does what is not done yet of a plan. Raises :class:`FedstillError` and its kinds; nothing is written for a plan that
    fails on its records or on the teacher that was given."""
    import torch

    from fedstill.sharing import device_of_rank
    from shared.data import load_pool
    from shared.models import load_model
    from shared.teachers import open_teacher

    if (known := _known_summary(plan, console)) is not None:
        return known
    torch.set_num_threads(plan.threads)
    device_of_rank(plan.device, plan.processes - 1, plan.processes)
    watch, task = Stopwatch(), plan.federation.task
    with watch.part("records"):
        split = load_pool(plan.federation)
    with watch.part("teacher"):
        given = open_teacher(plan.teacher, task) if plan.teacher is not None else None
    with run_lock(plan.folder, plan.federation.name):
        if not (plan.folder / PLAN_FILE).exists():
            write_atomic(plan.folder / PLAN_FILE, plan.model_dump_json(indent=2).encode())
        with watch.part("teacher"):
            teacher = given or _own_teacher(plan, split.train, console)
        with watch.part("targets"):
            # A teacher that learns along says something else in every step: nothing of it can be kept.
            kept = teacher is not None and plan.federation.distillation.teacher == "own"
            asked = _targets(plan, teacher, split.train, console) if teacher is not None and kept else None
        with watch.part("student"):
            fitted = _fitted(plan, teacher, asked, split.train, console)
        with watch.part("export"):
            files = _student_files(plan, split)
        with watch.part("evaluation"):
            summary = _summarise(plan, teacher, load_model(plan.folder / STUDENT_FILE), split, fitted)
        summary = summary.model_copy(update={"seconds": dict(watch.parts), "files": files})
        write_atomic(plan.folder / SUMMARY_FILE, summary.model_dump_json(indent=2).encode())
        (plan.folder / FIT_FILE).unlink(missing_ok=True)
    return summary


def _check_teacher(federation: FederationConfig, teacher: Path | None, kind: Kind | None, base: str | None) -> None:
    wanted = federation.distillation.teacher
    option = "--teacher" if teacher is not None else "--teacher-kind" if kind is not None else "--base" if base is not None else None
    if option is not None and wanted not in MODELS:
        raise ConfigError(
            f"{option}: the configuration asks no teacher, its distillation.teacher is '{wanted}'; set it to 'own' or leave {option} out"
        )
    if teacher is not None and (kind is not None or base is not None):
        raise ConfigError("--teacher names a teacher that is there, --teacher-kind and --base what is fitted; give one or the other")
    if wanted == "mutual" and kind not in (None, "network"):
        raise ConfigError(f"distillation.teacher is 'mutual', and a teacher of kind '{kind}' cannot learn along; set it to 'own'")
    check_kind(kind or "network", base, federation.task)


def _check_folder(plan: DistilPlan) -> None:
    folder = plan.folder
    if (folder / PLAN_FILE).exists():
        if read_plan(folder) != plan:
            raise RunError(f"{folder} holds another distillation; give another --out, or the options that it was started with")
    elif folder.is_dir() and any(entry.name != "lock" and not entry.name.startswith(".") for entry in folder.iterdir()):
        # A teacher or targets that lie there by chance would be taken for this distillation's.
        raise RunError(f"{folder} holds something else than a distillation; give an --out that is empty or new")


def read_plan(folder: Path) -> DistilPlan:
    """The plan in a folder. Raises :class:`RunError` where it is damaged."""
    try:
        plan = DistilPlan.model_validate_json(read_bytes(folder / PLAN_FILE, what="plan"))
    except ValidationError as error:
        raise RunError(f"{folder / PLAN_FILE} is damaged; start again in another folder") from error
    return plan.model_copy(update={"folder": folder})


def _known_summary(plan: DistilPlan, console: Console) -> DistilSummary | None:
    """The summary of a distillation that is over already; ``None`` if it is not, or if a file of its student is gone."""
    try:
        summary = DistilSummary.model_validate_json(read_bytes(plan.folder / SUMMARY_FILE, what="summary"))
    except (MissingFileError, ValidationError):
        return None
    if not all((plan.folder / name).is_file() for name in summary.files.values()):
        return None
    console.print(f"{plan.folder} is distilled already; nothing was done again", highlight=False, soft_wrap=True)
    return summary.model_copy(update={"folder": plan.folder})


def _own_teacher(plan: DistilPlan, records: Records, console: Console) -> Teacher | None:
    from shared.distill.resume import Resume
    from shared.teachers import lies_at, open_teacher

    config, home = plan.federation, plan.folder / "teacher"
    if config.distillation.teacher not in MODELS:
        return None
    if not lies_at(home):
        resume = Resume(plan.folder / TEACHER_FIT_FILE, _fit_key(plan, None, records))
        wish = Fitting(plan.teacher_kind, config.task, config.teacher, config.teacher_training, config.seed, plan.base, plan.device)
        with counted(console, "fitting the teacher") as on_step:
            fit_at(home, records, wish, resume=resume, on_step=on_step)
    try:
        return open_teacher(home, config.task)
    except CheckpointError as error:
        raise CheckpointError(f"the teacher that was fitted in {home} is damaged; remove that folder, and it is fitted again") from error


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

        targets = cached_targets(
            plan.folder,
            teacher,
            records,
            views,
            order,
            limit_mb=plan.cache_limit_mb,
            limit_name="--cache-limit-mb",
            say=bar.say,
            on_chunk=on_chunk,
        )
    return targets, Wanted(order.hidden, order.attentions)


def _fitted(plan: DistilPlan, teacher: Teacher | None, asked: tuple[Targets, Wanted] | None, records: Records, console: Console) -> Fitted:
    """Trains the student, or finds it trained by the same plan, teacher and records."""
    key = _fit_key(plan, teacher, records)
    try:
        found = Fitted.model_validate_json(read_bytes(plan.folder / FITTED_FILE, what="fit"))
        if found.key == key and found.student_sha256 == _sha256(read_bytes(plan.folder / STUDENT_FILE, what="student")):
            return found
    except (MissingFileError, ValidationError):
        pass
    return _train(plan, key, asked, records, console)


def _train(plan: DistilPlan, key: str, asked: tuple[Targets, Wanted] | None, records: Records, console: Console) -> Fitted:
    from fedstill.sharing import shared_fit
    from shared.distill.resume import Resume
    from shared.models import save_model

    # Several processes would have to keep themselves at one moment: a fit that is shared starts anew instead.
    resume = Resume(plan.folder / FIT_FILE, key) if plan.processes == 1 else None
    with shared_fit(plan) as share, progress_bar(console, plan.epochs) as bar:
        student, outcome = learn(
            plan, asked, records, share=share, resume=resume, on_epoch=lambda loss: bar.advance(f"distilling, loss {loss:.4f}")
        )
    save_model(plan.folder / STUDENT_FILE, student)
    digest = _sha256(read_bytes(plan.folder / STUDENT_FILE, what="student"))
    fitted = Fitted(key=key, student_sha256=digest, train_loss=outcome.loss, epochs=outcome.epochs, objective=outcome.in_force)
    write_atomic(plan.folder / FITTED_FILE, fitted.model_dump_json(indent=2).encode())
    return fitted


def learn(
    plan: DistilPlan,
    asked: tuple[Targets, Wanted] | None,
    records: Records,
    *,
    share: Share,
    resume: Resume | None = None,
    on_epoch: Callable[[float], object] = lambda loss: None,
) -> tuple[Network, Outcome]:
    """The fit of a plan, as each of its processes does it; writes nothing but what ``resume`` keeps."""
    from fedstill.sharing import device_of_rank
    from shared.distill.alone import distil_alone
    from shared.distill.cache import institution_views
    from shared.distill.teacher import load_teacher

    config = plan.federation
    targets, wanted = asked if asked is not None else (None, None)
    return distil_alone(
        records,
        config,
        targets,
        epochs=plan.epochs,
        seed=config.seed,
        wanted=wanted,
        views=institution_views(config.task, config.distillation.views, config.seed, config.name)
        if config.distillation.views > 1
        else None,
        resume=resume,
        on_epoch=on_epoch,
        mentor=load_teacher(plan.teacher or plan.folder / "teacher", config.task) if config.distillation.teacher == "mutual" else None,
        device=device_of_rank(plan.device, share.rank, plan.processes),
        share=share,
    )


def taught_by(plan: DistilPlan, records: Records, console: Console) -> tuple[Targets, Wanted] | None:
    """The targets that a plan's first process has made, with the teacher that it has fitted or was given; ``None`` where none are kept."""
    from shared.teachers import open_teacher

    if plan.federation.distillation.teacher != "own":
        return None
    return _targets(plan, open_teacher(plan.teacher or plan.folder / "teacher", plan.federation.task), records, console)


def _fit_key(plan: DistilPlan, teacher: Teacher | None, records: Records) -> str:
    """Names the fit by all that it learns from, and the device: other records or another teacher start anew, wherever the folder lies."""
    from shared.data.records import digest_of
    from shared.models.device import chosen_device

    taught_by = teacher.digest if teacher is not None else "nobody"
    return _sha256(f"{plan.model_dump_json(exclude={'folder'})} {taught_by} {digest_of(records)} {chosen_device(plan.device)}".encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _student_files(plan: DistilPlan, split: Split) -> dict[str, str]:
    """Writes what is needed to use the student elsewhere: a float graph, and the tokeniser of texts."""
    from shared.compress.export import export_float
    from shared.data.text import read_tokeniser
    from shared.models import load_model
    from shared.tokenise import FILE

    config, files = plan.federation, {"student": STUDENT_FILE, "graph": GRAPH_FILE}
    student = load_model(plan.folder / STUDENT_FILE)
    write_atomic(plan.folder / GRAPH_FILE, export_float(student, config.task, split.test.inputs[:SAMPLES]))
    if config.task.family == "text":
        write_atomic(plan.folder / FILE, read_tokeniser(config.task, config.tokenizer_path).content)
        files["tokeniser"] = FILE
    return files


def _summarise(plan: DistilPlan, teacher: Teacher | None, student: Network, split: Split, fitted: Fitted) -> DistilSummary:
    from fedstill.scoring import student_scores, teacher_scores

    task = plan.federation.task
    theirs = teacher_scores(teacher, split.test, task) if teacher is not None else None
    ours = student_scores(student, split.test, task)
    return DistilSummary(
        name=plan.federation.name,
        folder=plan.folder,
        records=len(split.train),
        held_out=len(split.test),
        epochs=fitted.epochs,
        train_loss=fitted.train_loss,
        objective=fitted.objective,
        teacher=theirs,
        student=ours,
        kept=ours.accuracy / theirs.accuracy if theirs is not None and theirs.accuracy else None,
        targets_mb=sum(file.stat().st_size for file in plan.folder.glob("targets-*/**/*") if file.is_file()) / 1e6,
        files={},
        seconds={},
    )
