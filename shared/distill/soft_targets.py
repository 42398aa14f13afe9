"""What the teacher thinks of each record: soft targets (Hinton, Vinyals & Dean 2015)."""

from __future__ import annotations

from torch import Tensor

from shared.distill.divergence import divergence, softened
from shared.distill.term import Term, known
from shared.models.features import Features


class SoftTargets(Term):
    """``T² * mean_b KL(softmax(teacher_b / T) || softmax(student_b / T))``, ``T`` > 0 the temperature.

    The factor T² keeps the gradient's size as T changes (section 2.1 of the paper).
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, student: Features, teacher: Features | None, labels: Tensor) -> Tensor:
        """``(batch,)``; both logits: ``(batch, labels)``. Labels are not looked at."""
        found = softened(student.logits, self.temperature)
        return self.temperature**2 * divergence(found, softened(known(teacher).logits, self.temperature))
