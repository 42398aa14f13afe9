"""Fitting an institution's teacher from its folder, for the command and for the simulation."""

from __future__ import annotations

from pathlib import Path

from shared.config import FederationConfig, InstitutionConfig
from shared.frozen import Frozen


class TeacherScores(Frozen):
    """What a user reads after a fit."""

    parameters: int
    accuracy: float


def fit_institution(config: InstitutionConfig, folder: Path, federation: FederationConfig, *, force: bool = False) -> TeacherScores:
    """Fits the teacher on the institution's training records and keeps it in ``config.teacher_path`` (or ``folder/teacher``).

    A teacher that is already there is kept and only scored, unless ``force``. Raises :class:`DataError`, :class:`CheckpointError`.
    """
    from shared.data import load_site
    from shared.distill import evaluate
    from shared.distill.teacher import fit_teacher, load_teacher, save_teacher
    from shared.models import count_parameters

    home = config.teacher_path or folder / "teacher"
    split = load_site(config)
    if force or not (home / "teacher.json").exists():
        teacher = fit_teacher(split.train, config.task, federation.teacher, federation.teacher_training, seed=config.seed)
        save_teacher(home, teacher)
    teacher = load_teacher(home, config.task)
    score = evaluate(teacher, split.test, len(config.task.labels))
    return TeacherScores(parameters=count_parameters(teacher), accuracy=score.accuracy)
