"""How much each head counts beside the others at one institution: as declared, by learnt uncertainty, or by speed of learning.

Only the heads of the institution's own records are weighed against each other. With one of them there is nothing to balance: its weight
is then the declared one at every setting, so that a plant with one head learns as it would alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shared.distill.heads import Heads
from shared.heads import NONE
from shared.settings import TaskWeighting

FAST, SLOW = 0.9, 0.99
"""Share that a step keeps of a head's running losses: their quotient says how fast the head still learns."""
TEMPERATURE = 2.0
"""Of the softmax over speeds, as in the paper."""
SMALLEST = 1e-8


class TaskWeights(nn.Module):
    """Factors ``w_h`` of the losses of head h's records; records of no known head have 1.

    - ``fixed``: ``w_h`` is the head's declared weight ``a_h``
    - ``uncertainty``: ``a_h * exp(-s_h)``, and ``s_h / 2`` is added to each of its records' losses, with a learnt log variance ``s_h``,
      at first 0 (Kendall et al. 2018, "Multi-task learning using uncertainty", section 3.2, the form for classification)
    - ``speed``: ``a_h * H * softmax_h(r_h / 2)`` over H heads, ``r_h`` the quotient of a fast and a slow running mean of the head's loss:
      heads that learn slowly count more (dynamic weight average, Liu et al. 2019, "End-to-end multi-task learning with attention",
      eq. 7, whose epochs are running means here: a round may have only one)

    What is learnt or kept is part of the alignment state, and stays at the institution.
    """

    fast: Tensor
    slow: Tensor

    def __init__(self, heads: Heads, weighting: TaskWeighting) -> None:
        super().__init__()
        self._heads, count = heads, len(heads.heads)
        self._kind: TaskWeighting = weighting if len(heads.present) > 1 else "fixed"
        self._declared = torch.tensor([head.weight for head in heads.heads])
        if self._kind == "uncertainty":
            self.log_variances = nn.Parameter(torch.zeros(count))
        if self._kind == "speed":
            self.register_buffer("fast", torch.zeros(count))
            self.register_buffer("slow", torch.zeros(count))

    def factors(self) -> Tensor:
        """``w``: float ``(heads,)``, above 0."""
        match self._kind:
            case "fixed":
                return self._declared
            case "uncertainty":
                return self._declared.to(self.log_variances.device) * torch.exp(-self.log_variances)
            case "speed":
                return self._declared.to(self.slow.device) * self._speeds()

    def forward(self, labels: Tensor) -> Tensor:
        """Each record's factor ``(batch,)``."""
        return self._by_record(self.factors(), labels, 1.0)

    def penalty(self, labels: Tensor) -> Tensor:
        """What the uncertainties themselves cost: a scalar, 0 unless they are learnt."""
        if self._kind != "uncertainty":
            return torch.zeros(())
        return self._by_record(self.log_variances / 2, labels, 0.0).mean()

    def see(self, losses: Tensor, labels: Tensor) -> None:
        """Lets the running means follow the records' unweighted losses ``(batch,)``, in training mode and where speed counts."""
        if self._kind != "speed" or not self.training:
            return
        found = self._heads.of(labels)
        for head in sorted(set(found.cpu().tolist()) - {NONE}):
            now = losses.detach()[found == head].mean().to(self.fast.dtype)
            for means, keep in ((self.fast, FAST), (self.slow, SLOW)):
                means[head] = now if not float(means[head]) else means[head].lerp(now, 1 - keep)

    def _speeds(self) -> Tensor:
        present = torch.tensor(self._heads.present).to(self.slow.device)
        # A head that was not seen yet neither rises nor falls.
        ratios = torch.where(self.slow > 0, self.fast / self.slow.clamp_min(SMALLEST), torch.ones_like(self.slow))[present]
        return torch.ones_like(self.slow).index_copy(0, present, len(present) * torch.softmax(ratios / TEMPERATURE, dim=0))

    def _by_record(self, values: Tensor, labels: Tensor, unknown: float) -> Tensor:
        found, values = self._heads.of(labels), values.to(labels.device)
        return torch.where(found == NONE, torch.full_like(values[:1], unknown), values[found.clamp_min(0)])
