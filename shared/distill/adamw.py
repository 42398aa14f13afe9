"""AdamW (Loshchilov & Hutter 2019) over one flat vector: small models cost a few operations a step, not a few for each layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

BETAS = (0.9, 0.999)
EPSILON = 1e-8
LARGEST_GRADIENT = 5.0
"""Longer gradients are cut to this length: one odd batch must not undo a round."""


class FlatAdamW:
    """Takes the parameters over as views of one vector, with their gradients.

    ``m = b1 m + (1 - b1) g``, ``v = b2 v + (1 - b2) g²``,
    ``p = p - rate * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps) - rate * decay * p``;
    only matrices and kernels decay, not biases, gains and single vectors.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        self.values = torch.cat([parameter.detach().reshape(-1) for parameter in parameters])
        self.gradients = torch.zeros_like(self.values)
        self._means, self._squares = torch.zeros_like(self.values), torch.zeros_like(self.values)
        rates = [torch.full((parameter.numel(),), decay if _decays(parameter) else 0.0) for parameter in parameters]
        self._decay = torch.cat(rates).to(self.values.device)
        self._steps = 0
        start = 0
        for parameter in parameters:
            end = start + parameter.numel()
            parameter.data = self.values[start:end].view(parameter.shape)
            parameter.grad = self.gradients[start:end].view(parameter.shape)
            start = end

    def step(self, rate: float) -> None:
        """Moves the parameters against their gradients, and clears those."""
        self._steps += 1
        first, second = BETAS
        gradients = self._clipped()
        self._means.lerp_(gradients, 1 - first)
        self._squares.mul_(second).addcmul_(gradients, gradients, value=1 - second)
        scale = (self._squares / (1 - second**self._steps)).sqrt_().add_(EPSILON)
        self.values.addcmul_(self.values, self._decay, value=-rate)
        self.values.addcdiv_(self._means, scale, value=-rate / (1 - first**self._steps))
        self.gradients.zero_()

    def state(self) -> dict[str, Tensor]:
        """Everything that a step depends on, the parameters' values among it; views, not copies."""
        return {"values": self.values, "means": self._means, "squares": self._squares, "steps": torch.tensor(self._steps)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Goes back to an earlier :meth:`state`, parameters included."""
        for own, name in ((self.values, "values"), (self._means, "means"), (self._squares, "squares")):
            own.copy_(state[name])
        self._steps = int(state["steps"])

    def _clipped(self) -> Tensor:
        length = float(torch.linalg.vector_norm(self.gradients))
        return self.gradients if not math.isfinite(length) or length <= LARGEST_GRADIENT else self.gradients * (LARGEST_GRADIENT / length)


def _decays(parameter: nn.Parameter) -> bool:
    return parameter.dim() >= 2 and parameter.numel() > max(parameter.shape)
