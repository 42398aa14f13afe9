"""A teacher for records without labels: what it is sure of is taken for their label (FixMatch, Sohn et al. 2020, eq. 4)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from shared.distill.term import UNLABELLED, Term, known, spread
from shared.models.features import Features


class PseudoLabels(Term):
    """``mean_b 1(max p_b >= confidence) * -log softmax(student_b)[argmax p_b]`` over the unlabelled records b, 0 where there are none.

    ``p``: the teacher's probabilities of the record as it is; the student may see another view of it.
    """

    def __init__(self, confidence: float) -> None:
        """``confidence`` in 0..1: 0 takes every answer, 1 only what leaves no doubt in float32."""
        super().__init__()
        self.confidence = confidence

    def counted(self, labels: Tensor) -> Tensor:
        """The unlabelled records, bool ``(batch,)``."""
        return labels == UNLABELLED

    def forward(self, student: Features, teacher: Features | None, labels: Tensor) -> Tensor:
        """``(batch,)``, 0 at labelled records and where the teacher is unsure; both logits: ``(batch, labels)``."""
        sureness, chosen = known(teacher).logits.softmax(dim=-1).max(dim=-1)
        losses = functional.cross_entropy(student.logits, chosen, reduction="none").masked_fill(sureness < self.confidence, 0.0)
        return spread(losses, self.counted(labels))
