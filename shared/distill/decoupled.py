"""The teacher's answer in two parts: how sure it is of the label, and what it thinks of the others (DKD, Zhao et al. 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

from shared.distill.divergence import divergence, softened
from shared.distill.term import UNLABELLED, Term, known
from shared.models.features import Features


class DecoupledTargets(Term):
    """``T² * mean_b (alpha * KL(b^T || b^S) + beta * KL(p^T || p^S))`` (the paper's eq. 7, at temperature ``T`` > 0).

    ``b`` is the pair of the label's probability and that of all others; ``p`` is the distribution over the others alone.
    With ``beta = 1 - b^T_label`` and ``alpha`` 1 it would be Hinton's loss (eq. 6): a fixed ``beta`` lets records of which the
    teacher is sure teach about the other labels too. Of two labels, ``p`` says nothing. An unlabelled record has the teacher's
    answer for a label.
    """

    def __init__(self, temperature: float, alpha: float, beta: float) -> None:
        super().__init__()
        self.temperature, self.alpha, self.beta = temperature, alpha, beta

    def forward(self, student: Features, teacher: Features | None, labels: Tensor) -> Tensor:
        """``(batch,)``; both logits: ``(batch, labels)``."""
        answers = known(teacher).logits
        chosen = torch.where(labels == UNLABELLED, answers.argmax(dim=-1), labels)
        (found, found_others), (wanted, wanted_others) = (self._parts(logits, chosen) for logits in (student.logits, answers))
        losses = self.alpha * divergence(found, wanted) + self.beta * divergence(found_others, wanted_others)
        return self.temperature**2 * losses

    def _parts(self, logits: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        whole = softened(logits, self.temperature)
        count = logits.shape[-1]
        places = torch.arange(count - 1, device=logits.device).expand(len(logits), -1)
        others = whole.gather(1, places + (places >= chosen.unsqueeze(1)))
        rest = torch.logsumexp(others, dim=1, keepdim=True)
        # Where a teacher rules all others out, each stays ruled out: minus infinity less itself is no number.
        return torch.cat([whole.gather(1, chosen.unsqueeze(1)), rest], dim=1), others - rest.clamp_min(torch.finfo(rest.dtype).min)
