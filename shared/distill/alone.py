"""A student that learns without a federation: what ``fedstill distill`` makes, and what federation is compared with."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn

from shared.config import FederationConfig
from shared.data.records import Records
from shared.distill.depth import Wanted
from shared.distill.objective import needs_inside
from shared.distill.resume import Resume
from shared.distill.share import ALONE, Share
from shared.distill.targets import Targets, targets_of
from shared.distill.teacher import own_normalisation
from shared.distill.trainer import Outcome, distil
from shared.distill.views import Views
from shared.knowledge.alone import taught_alone
from shared.knowledge.student_table import student_tables
from shared.models.derive import first_student
from shared.models.device import CPU
from shared.models.network import Network
from shared.models.seeds import derive


def distil_alone(
    records: Records,
    config: FederationConfig,
    targets: Targets | None,
    *,
    epochs: int,
    seed: int,
    wanted: Wanted | None = None,
    views: Views | None = None,
    resume: Resume | None = None,
    on_epoch: Callable[[float], object] = lambda loss: None,
    mentor: nn.Module | None = None,
    device: torch.device = CPU,
    share: Share = ALONE,
) -> tuple[Network, Outcome]:
    """The federation's first student, distilled on these records by one fit of ``epochs``, and taught by its public graph if it has one;
    the rest as of :func:`shared.distill.trainer.distil`, whose errors it raises, and those of the graph.
    """
    scales = own_normalisation(config.task, records).model_copy(update={"tables": student_tables(config)})
    student = first_student(config, scales, seed=seed)
    training = config.training.model_copy(update={"epochs": epochs})
    auxiliaries, known = taught_alone(config, records, seed)
    outcome = distil(
        student,
        targets,
        records,
        training,
        config.distillation,
        seed=derive(seed, "alone"),
        wanted=wanted,
        views=views,
        resume=resume,
        on_epoch=on_epoch,
        mentor=mentor,
        device=device,
        share=share,
        auxiliaries=auxiliaries,
        known=known,
    )
    return student, outcome


def train_alone(records: Records, config: FederationConfig, teacher: nn.Module | None, *, seed: int) -> Network:
    """The federation's student trained on these records only, with as many epochs as the federation has in all its rounds.

    For an institution without the others (its records and its teacher), or for all records in one place.
    Raises as :func:`shared.distill.trainer.distil`.
    """
    if teacher is not None and config.distillation.teacher == "mutual":
        return distil_alone(records, config, None, epochs=total_epochs(config), seed=seed, mentor=copy.deepcopy(teacher))[0]
    targets = targets_of(teacher, records.inputs, inside=needs_inside(config.distillation)) if teacher is not None else None
    return distil_alone(records, config, targets, epochs=total_epochs(config), seed=seed)[0]


def total_epochs(config: FederationConfig) -> int:
    """How often a federation looks at each record: rounds times the epochs of each."""
    return config.rounds * config.training.epochs
