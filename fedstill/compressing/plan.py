"""What is compressed, on which records, for which device, and what may be lost: settled before anything is loaded or written."""

from __future__ import annotations

import time
from pathlib import Path

from fedstill.compressing.steps import left_unfinished
from fedstill.plan import BUILTIN, builtin_federation
from fedstill.plan import PLAN_FILE as SIMULATION_FILE
from fedstill.plan import read_plan as read_simulation
from shared.config import FederationConfig, load_config
from shared.errors import ConfigError, MissingFileError, RunError
from shared.frozen import Frozen

DISTILLED_FILE, STUDENT_FILE, TEACHER_FOLDER = "distill.json", "student.safetensors", "teacher"
LOCK_FILE = "lock"


class CompressPlan(Frozen):
    """One compression.

    ``student``: the checkpoint; ``federation``: its task and where the records are; ``teacher``: who teaches what is left of the
    student after each cut, and ``None`` for the student as it was. ``device`` is a profile's name or file. At most ``max_drop`` of
    accuracy may be lost in all, and the file must keep to ``budget_ms`` a record and ``budget_mb``, where they are given.
    ``keep_layers`` is the least part of the student's blocks that is kept, 1 for all; ``prune`` switches all cuts.
    ``healing_epochs`` follow each cut, ``quantised_epochs`` are learnt on the device's grid. ``identity`` is the key that signs.
    """

    folder: Path
    student: Path
    federation: FederationConfig
    teacher: Path | None = None
    device: str = "portable"
    max_drop: float = 0.01
    budget_ms: float | None = None
    budget_mb: float | None = None
    prune: bool = True
    keep_layers: float = 0.8
    healing_epochs: int = 8
    quantised_epochs: int = 8
    seed: int = 7
    threads: int = 1
    identity: Path | None = None


def found_student(path: Path) -> Path:
    """The checkpoint at ``path``: a file, or that of a folder of ``fedstill distill`` or ``fedstill simulate``.

    Raises :class:`MissingFileError` where there is none, and :class:`RunError` where a folder has several.
    """
    if path.is_file():
        return path
    found = [path / STUDENT_FILE] if (path / STUDENT_FILE).is_file() else sorted(path.glob(f"coordinator/**/{STUDENT_FILE}"))
    if len(found) > 1:
        raise RunError(f"{path} holds {len(found)} students; name the file of one, such as {found[-1]}")
    if not found:
        raise MissingFileError(
            f"there is no student at {path}; give a student.safetensors, or a folder of distill or simulate that is done"
        )
    return found[0]


def known_federation(path: Path) -> FederationConfig | None:
    """The federation, with its records, that a student's folder tells of itself; ``None`` for a file or a folder that does not."""
    from fedstill.distilling import read_plan as read_distilled

    if (path / DISTILLED_FILE).is_file():
        return read_distilled(path).federation
    return read_simulation(path).federation if (path / SIMULATION_FILE).is_file() else None


def known_teacher(path: Path) -> Path | None:
    """The teacher beside a student that ``fedstill distill`` made; ``None`` where there is none."""
    from fedstill.distilling import read_plan as read_distilled

    if not (path / DISTILLED_FILE).is_file():
        return None
    given = read_distilled(path).teacher
    return given if given is not None else path / TEACHER_FOLDER if (path / TEACHER_FOLDER).is_dir() else None


def federation_of(data: str | None, student: Path, tokenizer: Path | None = None) -> FederationConfig:
    """Where the records of a student are: ``data`` is a federation.toml, a CSV file, a folder of images, or the name of built-in records;
    without it the student's folder says.

    The task is always the student's own, whatever the records would suggest. Raises :class:`ConfigError` where nobody says, or where
    the records are of another kind.
    """
    known = known_federation(student) if data is None else None
    if known is not None:
        return known
    if data is None:
        raise ConfigError(
            f"{student} does not say on which records it learnt; give --data: a federation.toml, a CSV file or a folder of images"
        )
    return _with_task_of(
        found_student(student), builtin_federation(data) if data in BUILTIN else _read(Path(data), found_student(student), tokenizer)
    )


def new_folder(name: str) -> Path:
    """Where the artifact goes if nobody says."""
    return Path("runs") / f"compress-{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def check_folder(folder: Path) -> None:
    """Raises :class:`RunError` for a folder that holds something else than a compression that was stopped: what lies there would be taken
    for this compression's."""
    if left_unfinished(folder):
        return
    if folder.is_dir() and any(not entry.name.startswith(".") and entry.name != LOCK_FILE for entry in folder.iterdir()):
        raise RunError(f"{folder} holds something already; give an --out that is empty or new")


def _read(data: Path, student: Path, tokenizer: Path | None) -> FederationConfig:
    from fedstill.inferring import Hints, infer_federation
    from shared.models import load_model
    from shared.task import TextTask

    if data.suffix == ".toml":
        return load_config(FederationConfig, data)
    task = load_model(student).task
    if isinstance(task, TextTask):
        if tokenizer is None:
            raise ConfigError("the student reads texts; give the tokenizer.json that it learnt with: --tokenizer")
        return infer_federation(data, Hints(label=task.label, text=task.text, tokenizer=tokenizer))
    return infer_federation(data, Hints(label=getattr(task, "label", "label")))


def _with_task_of(student: Path, federation: FederationConfig) -> FederationConfig:
    from shared.models import load_model

    task = load_model(student).task
    if task.family != federation.task.family:
        raise ConfigError(
            f"the student's task is one of family '{task.family}', the records are of family '{federation.task.family}'; give its own"
        )
    return federation.model_copy(update={"task": task})
