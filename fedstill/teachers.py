"""An institution's teacher from its folder: fitting it, keeping its targets, saying what it is. For the commands and the simulation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fedstill.fitting import Fitting, Kind, Progress, fit_at
from shared.config import FederationConfig, InstitutionConfig, load_config
from shared.data.records import Records
from shared.errors import ConfigError, ResourceError
from shared.frozen import Frozen
from shared.task import Task

if TYPE_CHECKING:
    from shared.teachers import Teacher

MEGABYTE = 2**20


class TeacherScores(Frozen):
    """What a user reads after a fit."""

    parameters: int
    accuracy: float


class TeacherFacts(Frozen):
    """What a user reads of a teacher without asking it anything."""

    kind: str
    parameters: int
    layers: int
    digest: str


class CacheFacts(Frozen):
    """What a user reads of kept targets: how many ``bytes`` for how many records in how many views, and where."""

    bytes: int
    records: int
    views: int
    folder: str


def fit_institution(
    config: InstitutionConfig,
    folder: Path,
    federation: FederationConfig,
    *,
    force: bool = False,
    kind: Kind = "network",
    base: str | None = None,
    on_step: Progress = lambda done, total: None,
) -> TeacherScores:
    """Fits the teacher on the institution's training records and keeps it in ``config.teacher_path`` (or ``folder/teacher``).

    ``kind`` is a network of ``federation.teacher``, boosted trees (tables), or the pretrained encoder ``base`` with a new head
    (texts, images). A teacher that is already there, of any kind, is kept and only scored, unless ``force``.
    Raises :class:`DataError`, :class:`CheckpointError`, :class:`ConfigError`.
    """
    from shared.data import load_site
    from shared.teachers import lies_at, open_teacher

    home, split = teacher_path(config, folder), load_site(config)
    if force or not lies_at(home):
        if home.is_file():
            raise ConfigError(f"teacher_path is the file {home}, which cannot be fitted; name a folder in institution.toml")
        wish = Fitting(kind, config.task, federation.teacher, federation.teacher_training, config.seed, base, config.device)
        fit_at(home, split.train, wish, on_step=on_step)
    teacher = open_teacher(home, config.task)
    return TeacherScores(parameters=teacher.parameters, accuracy=_accuracy(teacher, split.test, config.task))


def cache_institution(
    config: InstitutionConfig,
    folder: Path,
    federation: FederationConfig,
    *,
    announce: Callable[[int], None] = lambda size: None,
    say: Callable[[str], None] = lambda line: None,
    on_chunk: Progress = lambda done, total: None,
) -> CacheFacts:
    """Asks the teacher for every record and view that the federation's training will want, and keeps its answers.

    ``announce`` is told the bytes before anything is written, ``say`` where what was kept is damaged and made again. Raises
    :class:`ResourceError` where they are more than ``cache_limit_mb``, and as :func:`shared.distill.cache.cached_targets`.
    """
    from shared.data import load_site
    from shared.distill.cache import institution_views, order_of, size_of, stored_targets
    from shared.distill.targets import live_targets
    from shared.teachers import open_teacher

    teacher = open_teacher(teacher_path(config, folder), config.task, device=config.teacher_device, precision=config.teacher_precision)
    records, wishes = load_site(config).train, federation.distillation
    views = institution_views(config.task, wishes.views, config.seed, config.name)
    order = order_of(config.student, config.task, wishes, teacher)
    size = size_of(teacher, records, views, order)
    announce(size)
    if size > config.cache_limit_mb * MEGABYTE:
        raise ResourceError(
            f"the teacher's targets of {config.name} would take {size / MEGABYTE:.0f} MB, "
            f"more than cache_limit_mb = {config.cache_limit_mb} allows; raise it in institution.toml, "
            f"or lower distillation.views or the weights of its inner terms"
        )
    stored_targets(folder / "state", live_targets(teacher, records, views, order), say=say, on_chunk=on_chunk)
    return CacheFacts(bytes=size, records=len(records), views=views.count, folder=str(folder / "state"))


def describe_teacher(path: Path, federation: Path | None = None) -> TeacherFacts:
    """What kind of teacher lies at ``path``: an institution's folder, or a teacher's own path with the task of ``federation``.

    Raises :class:`CheckpointError` where there is none and :class:`ConfigError` where nothing tells the task.
    """
    from shared.teachers import kind_of, open_teacher

    if (path / "institution.toml").exists():
        config = load_config(InstitutionConfig, path / "institution.toml")
        place, task = teacher_path(config, path), config.task
    else:
        place, task = path, _task_of(path, kind_of(path), federation)
    teacher = open_teacher(place, task)
    return TeacherFacts(kind=kind_of(place), parameters=teacher.parameters, layers=teacher.layers, digest=teacher.digest)


def teacher_path(config: InstitutionConfig, folder: Path) -> Path:
    """Where an institution's teacher lies."""
    return config.teacher_path or folder / "teacher"


def _accuracy(teacher: Teacher, records: Records, task: Task) -> float:
    import numpy as np

    from shared.distill.targets import SHOWN, Order, shown
    from shared.heads import answers

    parts = [records.take(rows) for rows in np.split(np.arange(len(records)), range(SHOWN, len(records), SHOWN))]
    found = [answers(shown(teacher, part, Order()).logits.numpy(), part.labels, task.heads) for part in parts if len(part)]
    right = int((np.concatenate(found) == records.labels).sum()) if found else 0
    return right / max(len(records), 1)


def _task_of(path: Path, kind: str, federation: Path | None) -> Task:
    if federation is not None:
        return load_config(FederationConfig, federation).task
    if kind != "network":
        raise ConfigError(f"nothing in {path} says which task its teacher has; name the federation.toml with --federation")
    from shared.distill.teacher import load_teacher

    return load_teacher(path).task
