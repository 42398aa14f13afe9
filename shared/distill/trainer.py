"""One round of local distillation: the student learns from the records and, if there is one, from the teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from shared.data.records import Records
from shared.distill.label_shift import label_offset, shifted, teacher_offset
from shared.distill.loop import epochs
from shared.distill.objective import Objective, declare
from shared.distill.targets import Targets
from shared.distill.views import Views
from shared.errors import CheckpointError
from shared.models.features import Features, features
from shared.models.layers import use_dropout
from shared.models.network import BATCH
from shared.models.seeds import generator
from shared.models.vector import parameters_in_order
from shared.settings import DistillationSettings, TrainingSettings

AlignmentState = Mapping[str, Tensor]
"""The parameters of the objective's terms by name: private to the institution, kept from round to round."""


@dataclass(frozen=True)
class Outcome:
    """``loss``: the objective's mean over the records in the last epoch; ``alignment``: what to hand back next round."""

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
    views: Views | None = None,
) -> Outcome:
    """Trains ``student`` in place on ``records``; ``targets`` are the teacher's, in the records' order (``None``: hard labels alone).

    ``seed`` decides the batches, the dropout and, where ``alignment`` is ``None`` or empty, the projections' first weights.
    Each epoch sees the records as the view that ``views`` has for it, and the targets of that same view; ``None``: as they are.
    With ``label_shares`` of the federation, ``distillation.label_correction`` is applied (:mod:`shared.distill.label_shift`).
    Equal arguments give bit-identical students. Raises :class:`NotFiniteError` where training diverges and
    :class:`CheckpointError` for an alignment of other shapes.
    """
    inputs, labels = torch.from_numpy(records.inputs), torch.from_numpy(records.labels)
    objective = _objective(student, targets, inputs, distillation, seed, alignment)
    offset = label_offset(labels, label_shares, distillation.label_correction)
    if targets is not None and offset is not None:
        targets = _levelled(targets, labels, distillation.label_correction)

    losses: list[float] = []

    def loss(rows: Tensor) -> Tensor:
        view = views.of(len(losses)) if views is not None else 0
        seen = inputs.index_select(0, rows) if views is None else torch.from_numpy(views.inputs(records.inputs, rows.numpy(), view))
        found = shifted(features(student, seen), offset)
        value: Tensor = objective(found, targets.take(rows, view) if targets is not None else None, labels.index_select(0, rows))
        return value

    use_dropout(student, generator(seed, "dropout"))
    student.train()
    parameters = [*parameters_in_order(student), *parameters_in_order(objective)]
    for mean in epochs(parameters, loss, len(records), training, generator(seed, "batches")):
        losses.append(mean)  # one at a time: the loss asks how many epochs are done
    student.eval()
    use_dropout(student, None)
    return Outcome(losses[-1], {name: tensor.detach().clone() for name, tensor in objective.state_dict().items()})


@dataclass(frozen=True)
class _Levelled:
    """Targets whose mean answer is that of the labels."""

    targets: Targets
    offset: Tensor

    def take(self, rows: Tensor, view: int = 0) -> Features:
        return shifted(self.targets.take(rows, view), self.offset)


def _levelled(targets: Targets, labels: Tensor, strength: float) -> Targets:
    parts = [targets.take(rows).logits.softmax(dim=-1) for rows in torch.arange(len(labels)).split(BATCH)]  # type: ignore[no-untyped-call]
    return _Levelled(targets, teacher_offset(labels, torch.cat(parts), strength))


def _objective(
    student: nn.Module,
    targets: Targets | None,
    inputs: Tensor,
    distillation: DistillationSettings,
    seed: int,
    alignment: AlignmentState | None,
) -> Objective:
    first = torch.zeros(1, dtype=torch.int64)
    with torch.no_grad():
        shape = features(student, inputs[:1])
    objective = declare(distillation, shape, targets.take(first) if targets is not None else None, generator(seed, "alignment"))
    if alignment:
        try:
            objective.load_state_dict(dict(alignment))
        except RuntimeError as error:
            raise CheckpointError("the alignment kept from the last round does not fit this student and teacher; remove it") from error
    return objective
