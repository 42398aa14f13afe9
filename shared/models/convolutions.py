"""Convolutions whose kernels may be any: whole, depthwise and pointwise, or of two kernels that are a line each."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

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


class ShiftedConv(nn.Conv2d):
    """A convolution whose kernel may be any, learnt as that of a :class:`shared.models.layers.StandardisedConv` is.

    ``W = gain * (V - mean(V)) / sqrt(var(V) * fan_in + eps) + shift / fan_in``, gain and shift one an output channel. A standardised
    kernel has mean 0, which one with fewer inputs has no more; the shift makes up for it. What is learnt feels the length of ``V`` as
    little as before, so that a net heals at the rate at which it was learnt: a plain kernel is torn apart by it. The longer ``V`` has
    grown, the less a step turns it; whoever makes a kernel from another keeps that :meth:`growth`.
    """

    EPSILON = StandardisedConv.EPSILON

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        *,
        stride: int | tuple[int, int] = 1,
        groups: int = 1,
        gain: float = 1.0,
    ) -> None:
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        super().__init__(inputs, outputs, (height, width), stride=stride, padding=(height // 2, width // 2), groups=groups)
        self.fan_in = self.weight[0].numel()
        self.first_gain = gain
        self.gain = nn.Parameter(torch.full((outputs, 1, 1, 1), gain))
        self.shift = nn.Parameter(torch.zeros(outputs, 1, 1, 1))

    def reset_parameters(self) -> None:
        """Does nothing: ``initialise`` fills the parameters."""

    def initialise(self, generator: torch.Generator) -> None:
        """Normal weights of variance 1 / fan_in, no bias, no shift, the gain as made."""
        nn.init.normal_(self.weight, std=1 / math.sqrt(self.fan_in), generator=generator)
        nn.init.constant_(self.gain, self.first_gain)
        nn.init.zeros_(self.shift)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def plain_weight(self) -> Tensor:
        """The kernel, ``(outputs, inputs / groups, height, width)``."""
        return self.gain * centred(self.weight) * self._scale() + self.shift / self.fan_in

    def set_kernel(self, kernel: Tensor, growth: float = 1.0) -> None:
        """Sets the parameters such that :meth:`plain_weight` is ``kernel`` and ``V`` has grown so much."""
        length = float(centred(kernel).square().mean().sqrt()) * math.sqrt(self.fan_in)
        factor = growth / length if length else 1.0
        self.set_affine(kernel * factor, torch.full_like(self.gain, 1 / factor), torch.zeros_like(self.shift))

    def set_affine(self, weight: Tensor, slope: Tensor, offset: Tensor) -> None:
        """Sets the parameters such that ``V`` is ``weight`` and :meth:`plain_weight` ``slope * V + offset``."""
        with torch.no_grad():
            self.weight.copy_(weight)
            self.gain.copy_(slope / self._scale())
            self.shift.copy_((slope * self.weight.mean(dim=(1, 2, 3), keepdim=True) + offset) * self.fan_in)

    def affine(self) -> tuple[Tensor, Tensor]:
        """Slope and offset ``(outputs, 1, 1, 1)`` of :meth:`set_affine`."""
        slope = self.gain * self._scale()
        return slope, self.shift / self.fan_in - slope * self.weight.mean(dim=(1, 2, 3), keepdim=True)

    def growth(self) -> float:
        """The length of ``V`` beside that of a new one."""
        return float(centred(self.weight.detach()).square().mean().sqrt()) * math.sqrt(self.fan_in)

    def forward(self, maps: Tensor) -> Tensor:
        """``(batch, inputs, height, width)`` -> ``(batch, outputs, height / stride, width / stride)``."""
        return functional.conv2d(maps, self.plain_weight(), self.bias, self.stride, self.padding, self.dilation, self.groups)

    def _scale(self) -> Tensor:
        return torch.rsqrt(centred(self.weight).square().mean(dim=(1, 2, 3), keepdim=True) * self.fan_in + self.EPSILON)


class SeparableConv(nn.Module):
    """A k × k convolution of each channel by itself, then a 1 × 1 one among them (Sifre 2014; Howard et al. 2017, section 3.1).

    ``inputs (k² + outputs)`` products for each place in place of ``inputs * outputs * k²``.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        self.look = ShiftedConv(inputs, inputs, kernel, stride=stride, groups=inputs)
        self.mix = ShiftedConv(inputs, outputs, 1, gain=gain)

    def forward(self, maps: Tensor) -> Tensor:
        """``(batch, inputs, height, width)`` -> ``(batch, outputs, height / stride, width / stride)``."""
        mixed: Tensor = self.mix(self.look(maps))
        return mixed


class FactorisedConv(nn.Module):
    """A 1 × k convolution, then a k × 1 one, with as many channels between them as the fewer of both ends (Jaderberg et al. 2014)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        between = min(inputs, outputs)
        self.across = ShiftedConv(inputs, between, (1, kernel), stride=(1, stride))
        self.down = ShiftedConv(between, outputs, (kernel, 1), stride=(stride, 1), gain=gain)

    def forward(self, maps: Tensor) -> Tensor:
        """``(batch, inputs, height, width)`` -> ``(batch, outputs, height / stride, width / stride)``."""
        found: Tensor = self.down(self.across(maps))
        return found


def convolution(kind: Convolution, inputs: int, outputs: int, kernel: int, *, stride: int = 1, gain: float = 1.0) -> nn.Module:
    """One of the four kinds; a 1 × 1 one has nothing to split and is plain."""
    if kind == "standardised":
        return StandardisedConv(inputs, outputs, kernel, stride=stride, gain=gain)
    if kind == "plain" or kernel == 1:
        return ShiftedConv(inputs, outputs, kernel, stride=stride, gain=gain)
    return (SeparableConv if kind == "separable" else FactorisedConv)(inputs, outputs, kernel, stride=stride, gain=gain)


def kernel_of(layer: nn.Module) -> Tensor:
    """The weights that a layer multiplies with, however they are learnt; of a convolution ``(outputs, inputs / groups, height, width)``."""
    if isinstance(layer, StandardisedConv | ShiftedConv):
        return layer.plain_weight()
    return layer.get_parameter("weight")


def centred(kernel: Tensor) -> Tensor:
    """A kernel less its mean for each output channel."""
    return kernel - kernel.mean(dim=(1, 2, 3), keepdim=True)
