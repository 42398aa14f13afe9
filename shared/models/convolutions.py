"""Convolutions with plain weights: whole, depthwise and pointwise, or of two kernels that are a line each."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from shared.models.layers import StandardisedConv
from shared.settings import Convolution


class Conv(nn.Conv2d):
    """A convolution with bias that keeps the map's size for stride 1; made empty, filled by ``initialise``."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        *,
        stride: int | tuple[int, int] = 1,
        groups: int = 1,
        gain: float = math.sqrt(2),
    ) -> None:
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        super().__init__(inputs, outputs, (height, width), stride=stride, padding=(height // 2, width // 2), groups=groups)
        self.first_gain = gain

    def reset_parameters(self) -> None:
        """Does nothing: ``initialise`` fills the parameters."""

    def initialise(self, generator: torch.Generator) -> None:
        """Normal weights of variance gain² / fan_in (He et al. 2015), no bias."""
        nn.init.normal_(self.weight, std=self.first_gain / math.sqrt(self.weight[0].numel()), generator=generator)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class SeparableConv(nn.Module):
    """A k × k convolution of each channel by itself, then a 1 × 1 one among them (Sifre 2014; Howard et al. 2017, section 3.1).

    ``inputs (k² + outputs)`` products for each place in place of ``inputs * outputs * k²``.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        self.look = Conv(inputs, inputs, kernel, stride=stride, groups=inputs, gain=1.0)
        self.mix = Conv(inputs, outputs, 1, gain=gain)

    def forward(self, maps: Tensor) -> Tensor:
        """``(batch, inputs, height, width)`` -> ``(batch, outputs, height / stride, width / stride)``."""
        mixed: Tensor = self.mix(self.look(maps))
        return mixed


class FactorisedConv(nn.Module):
    """A 1 × k convolution, then a k × 1 one, with as many channels between them as the fewer of both ends (Jaderberg et al. 2014)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        between = min(inputs, outputs)
        self.across = Conv(inputs, between, (1, kernel), stride=(1, stride), gain=1.0)
        self.down = Conv(between, outputs, (kernel, 1), stride=(stride, 1), gain=gain)

    def forward(self, maps: Tensor) -> Tensor:
        """``(batch, inputs, height, width)`` -> ``(batch, outputs, height / stride, width / stride)``."""
        found: Tensor = self.down(self.across(maps))
        return found


def convolution(kind: Convolution, inputs: int, outputs: int, kernel: int, *, stride: int = 1, gain: float = 1.0) -> nn.Module:
    """One of the four kinds; a 1 × 1 one has nothing to split and is plain."""
    if kind == "standardised":
        return StandardisedConv(inputs, outputs, kernel, stride=stride, gain=gain)
    if kind == "plain" or kernel == 1:
        return Conv(inputs, outputs, kernel, stride=stride, gain=gain)
    return (SeparableConv if kind == "separable" else FactorisedConv)(inputs, outputs, kernel, stride=stride, gain=gain)
