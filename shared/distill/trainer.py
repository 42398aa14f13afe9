"""One round of local distillation: the student learns from the records and, if there is one, from the teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.data.records import Records
from shared.distill.average import AverageTeacher
from shared.distill.depth import Wanted
from shared.distill.label_shift import label_offset, shifted, teacher_offset
from shared.distill.loop import epochs
from shared.distill.objective import Objective, declare
from shared.distill.previous import PreviousStudent
from shared.distill.proximal import Anchor
from shared.distill.targets import Targets
from shared.errors import CheckpointError
from shared.models.features import Features, features
from shared.models.layers import use_dropout
from shared.models.network import BATCH
from shared.models.seeds import generator
from shared.models.vector import parameters_in_order
from shared.settings import DistillationSettings, TrainingSettings

AlignmentState = Mapping[str, Tensor]
"""The parameters of the objective's terms by name: private to the institution, kept from round to round."""


class Views(Protocol):
    """Which view of the records an epoch sees, and what it looks like; view 0 is the record as it is."""

    def of(self, epoch: int) -> int:
        """The view of an epoch, counted from 0."""
        ...

    def inputs(self, inputs: NDArray[Any], rows: NDArray[np.int64], view: int) -> NDArray[Any]:
        """The raw inputs of the records at ``rows``, out of those of all records, as ``view`` shows them."""
        ...


class ViewedTargets(Protocol):
    """Targets of several views of each record; view 0 is the record as it is."""

    def take(self, rows: Tensor, view: int = 0) -> Features:
        """Features of one view of the records at ``rows``, int64 ``(batch,)``."""
        ...


@dataclass(frozen=True)
class Outcome:
    """``loss``: the whole loss's mean over the records in the last epoch; ``alignment``: what to hand back next round."""

    loss: float
    alignment: AlignmentState


def distil(
    student: nn.Module,
    targets: Targets | None,
    records: Records,
    training: TrainingSettings,
    distillation: DistillationSettings,
    *,
    seed: int,
    alignment: AlignmentState | None = None,
    label_shares: Sequence[float] = (),
    wanted: Wanted | None = None,
    views: Views | None = None,
) -> Outcome:
    """Trains ``student`` in place on ``records``, of which those with label -1 are unlabelled.

    ``targets`` are the own teacher's, in the records' order, and show its places ``wanted`` (``None``: all); without them there are
    hard labels alone. The other kinds of ``distillation.teacher`` need none, and look at none. Each epoch sees
    the records as the view that ``views`` has for it, and the targets of that same view, of a :class:`ViewedTargets` (``None``: as
    they are).

    ``seed`` decides the batches, the dropout and, where ``alignment`` is ``None`` or empty, the projections' first weights.
    With ``label_shares`` of the federation, ``distillation.label_correction`` is applied (:mod:`shared.distill.label_shift`).
    Equal arguments give bit-identical students. Raises :class:`NotFiniteError` where training diverges and
    :class:`CheckpointError` for an alignment of other shapes, or targets of other places.
    """
    inputs, labels = torch.from_numpy(records.inputs), torch.from_numpy(records.labels)
    offset = label_offset(labels, label_shares, distillation.label_correction)
    average = AverageTeacher(student, inputs, distillation.average_decay) if distillation.teacher in ("average", "pseudo") else None
    teacher = _teacher(targets, average, labels, distillation, offset)
    objective = _objective(student, teacher, inputs, distillation, seed, alignment, wanted if average is None else None)
    previous = PreviousStudent(student, inputs, distillation.temperature) if distillation.previous_weight else None
    anchor = Anchor(parameters_in_order(student), distillation.proximal) if distillation.proximal else None
    losses: list[float] = []

    def loss(rows: Tensor) -> Tensor:
        view = views.of(len(losses)) if views is not None else 0
        seen = inputs.index_select(0, rows) if views is None else torch.from_numpy(views.inputs(records.inputs, rows.numpy(), view))
        if average is not None:
            average.follow()
        found = shifted(features(student, seen), offset)
        value: Tensor = objective(found, _asked(teacher, rows, view) if teacher is not None else None, labels.index_select(0, rows))
        if previous is not None:
            value = value + distillation.previous_weight * previous.forgotten(found, rows, offset).mean()
        return value if anchor is None else value + anchor.pull()

    use_dropout(student, generator(seed, "dropout"))
    student.train()
    parameters = [*parameters_in_order(student), *parameters_in_order(objective)]
    for done in epochs(parameters, loss, len(records), training, generator(seed, "batches")):
        losses.append(done)
    student.eval()
    use_dropout(student, None)
    return Outcome(losses[-1], {name: tensor.detach().clone() for name, tensor in objective.state_dict().items()})


@dataclass(frozen=True)
class _Shifted:
    """Targets with an offset on their logits: one that levels the teacher's mean answer, or the student's own."""

    targets: Targets
    offset: Tensor

    def take(self, rows: Tensor, view: int = 0) -> Features:
        return shifted(_asked(self.targets, rows, view), self.offset)


def _asked(targets: Targets, rows: Tensor, view: int) -> Features:
    return cast(ViewedTargets, targets).take(rows, view) if view else targets.take(rows)


def _teacher(
    targets: Targets | None, average: AverageTeacher | None, labels: Tensor, distillation: DistillationSettings, offset: Tensor | None
) -> Targets | None:
    if distillation.teacher == "virtual":
        return None
    if average is not None:
        # The average leans as little as the student itself, and gets the same offset.
        return average if offset is None else _Shifted(average, offset)
    if targets is None or offset is None:
        return targets
    return _levelled(targets, labels, distillation.label_correction)


def _levelled(targets: Targets, labels: Tensor, strength: float) -> Targets:
    parts = [targets.take(rows).logits.softmax(dim=-1) for rows in torch.arange(len(labels)).split(BATCH)]  # type: ignore[no-untyped-call]
    return _Shifted(targets, teacher_offset(labels, torch.cat(parts), strength))


def _objective(
    student: nn.Module,
    targets: Targets | None,
    inputs: Tensor,
    distillation: DistillationSettings,
    seed: int,
    alignment: AlignmentState | None,
    wanted: Wanted | None,
) -> Objective:
    first = torch.zeros(1, dtype=torch.int64)
    with torch.no_grad():
        shape = features(student, inputs[:1])
    shown = targets.take(first) if targets is not None else None
    objective = declare(distillation, shape, shown, generator(seed, "alignment"), wanted)
    if alignment:
        try:
            objective.load_state_dict(dict(alignment))
        except RuntimeError as error:
            raise CheckpointError("the alignment kept from the last round does not fit this student and teacher; remove it") from error
    return objective
