"""The student should not forget, while it learns here, what it had learnt from all (local-global distillation: FedGKD, Yao et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from shared.distill.soft_targets import SoftTargets
from shared.models.device import device_of
from shared.models.features import Features
from shared.models.network import BATCH, trimmed_for


class PreviousStudent:
    """``T² * mean_b KL(softmax(previous_b / T) || softmax(student_b / T))``: the paper's eq. 4 with a buffer of one model.

    ``previous`` is the student as it arrived, outside training mode. Its logits of all records are computed once.
    """

    def __init__(self, student: nn.Module, inputs: Tensor, temperature: float) -> None:
        """``inputs``: all records', as they are; the student is left in the mode it was in."""
        self._term = SoftTargets(temperature)
        was_training, device = student.training, device_of(student)
        student.eval()
        with torch.no_grad():
            parts = [student(trimmed_for(student, batch).to(device)) for batch in inputs.split(BATCH)]  # type: ignore[no-untyped-call]
        student.train(was_training)
        self._logits = torch.cat([part if isinstance(part, Tensor) else part.logits for part in parts]).cpu()

    def forgotten(
        self, student: Features, rows: Tensor, offset: Tensor | None = None, within: Callable[[Features], Features] = lambda found: found
    ) -> Tensor:
        """Each record's loss ``(batch,)``; ``offset``: what was added to the student's logits (``label_shift.py``), and ``within``
        how they were then confined to its head (``heads.py``)."""
        logits = self._logits.index_select(0, rows).to(student.logits.device)
        losses: Tensor = self._term(student, within(Features(logits if offset is None else logits + offset.to(logits.device))), rows)
        return losses
