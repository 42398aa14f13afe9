"""Losses of any scale, brought to the same one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

DECAY = 0.99
"""Share of the running mean that a step keeps: it follows over some hundred steps."""
SMALLEST = 1e-8
"""A loss that has vanished is not scaled back up."""


class RunningScale(nn.Module):
    """Divides a loss by the exponential moving average of itself, without gradient: the first is then exactly 1.

    ``mean = DECAY * mean + (1 - DECAY) * loss``, from the first loss. The mean is kept with the alignment from round to round; it is
    a figure of the institution's own records, and stays there.
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, loss: Tensor) -> Tensor:
        """``loss``: a scalar, at least 0. In training mode the mean moves first."""
        if self.training:
            now = loss.detach().to(self.mean.dtype)
            self.mean.copy_(now if not float(self.mean) else self.mean.lerp(now, 1 - DECAY))
        return loss / self.mean.to(loss.dtype).clamp_min(SMALLEST)
