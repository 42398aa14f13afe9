"""What the records say: cross-entropy with their labels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from shared.distill.term import UNLABELLED, Term, spread
from shared.models.features import Features


class HardLabels(Term):
    """``mean_b -log softmax(logits_b)[label_b]`` over the labelled records b, 0 where there are none; with ``smoothing`` s in
    0..1 the target is 1 - s + s / labels for the label and s / labels for the others (Szegedy et al. 2016)."""

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        self.smoothing = smoothing

    def counted(self, labels: Tensor) -> Tensor:
        """The labelled records, bool ``(batch,)``."""
        return labels != UNLABELLED

    def forward(self, student: Features, teacher: Features | None, labels: Tensor) -> Tensor:
        """``(batch,)``, 0 at unlabelled records; ``student.logits``: ``(batch, labels)``."""
        losses = functional.cross_entropy(student.logits, labels, ignore_index=UNLABELLED, reduction="none", label_smoothing=self.smoothing)
        return spread(losses, self.counted(labels))
