"""A student that learns alone: what federation is compared with."""

from __future__ import annotations

from torch import nn

from shared.config import FederationConfig
from shared.data.records import Records
from shared.distill.objective import needs_inside
from shared.distill.targets import targets_of
from shared.distill.teacher import own_normalisation
from shared.distill.trainer import AlignmentState, distil
from shared.models.derive import first_student
from shared.models.seeds import derive


def train_alone(records: Records, config: FederationConfig, teacher: nn.Module | None, *, seed: int) -> nn.Module:
    """The federation's student trained on these records only: as many rounds, of as many epochs, with the same objective.

    For an institution without the others (its records and its teacher), or for all records in one place.
    Raises as :func:`shared.distill.trainer.distil`.
    """
    student = first_student(config, own_normalisation(config.task, records), seed=seed)
    targets = targets_of(teacher, records.inputs, inside=needs_inside(config.distillation)) if teacher is not None else None
    alignment: AlignmentState = {}
    for version in range(config.rounds):
        outcome = distil(
            student,
            targets,
            records,
            config.training,
            config.distillation,
            seed=derive(seed, "alone", version),
            alignment=alignment,
        )
        alignment = outcome.alignment
    return student
