"""Layers whose random numbers are all explicit: made without any, initialised and dropped out by a given generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class Linear(nn.Linear):
    """``x W^T + b``; made empty, so that making a model never touches torch's global generator."""

    def reset_parameters(self) -> None:
        """Does nothing: :func:`initialise` fills the parameters."""

    def initialise(self, generator: torch.Generator) -> None:
        """Uniform within ± 1 / sqrt(inputs), torch's own default."""
        bound = 1 / math.sqrt(self.in_features)
        nn.init.uniform_(self.weight, -bound, bound, generator=generator)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound, generator=generator)


class Dropout(nn.Module):
    """Inverted dropout (Srivastava et al. 2014) from a generator of its own; off outside training and without generator.

    Torch's own draws from a generator that all threads share, and would make two institutions in one process depend on
    each other's timing.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.generator: torch.Generator | None = None

    def forward(self, values: Tensor) -> Tensor:
        """Zeroes each value with probability ``rate`` and scales the others by 1 / (1 - rate)."""
        if not self.training or self.generator is None or self.rate == 0.0:
            return values
        kept = torch.rand(values.shape, generator=self.generator, device=self.generator.device).to(values.device) >= self.rate
        return values * kept / (1 - self.rate)


class StandardisedConv(nn.Conv2d):
    """A convolution whose weights have mean 0 and variance gain² / fan_in for each output channel, whatever the data.

    ``W = gain * (V - mean(V)) / sqrt(var(V) * fan_in + eps)``: Qiao et al. 2019 with the scaling of Brock et al. 2021
    (NF-ResNets). It does the work of batch normalisation without statistics of anyone's data, so nothing but weights
    is shared, and at rest it is a plain convolution with constant weights.
    """

    EPSILON = 1e-6

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, gain: float = 1.0) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, padding=kernel // 2)
        self.fan_in = inputs * kernel * kernel
        self.first_gain = gain
        self.gain = nn.Parameter(torch.full((outputs, 1, 1, 1), gain))

    def reset_parameters(self) -> None:
        """Does nothing: :func:`initialise` fills the parameters."""

    def initialise(self, generator: torch.Generator) -> None:
        """Normal weights of variance 1 / fan_in, no bias, the gain as made."""
        nn.init.normal_(self.weight, std=1 / math.sqrt(self.fan_in), generator=generator)
        nn.init.constant_(self.gain, self.first_gain)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def plain_weight(self) -> Tensor:
        """The weights that a plain convolution would have."""
        centred = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        variance = centred.square().mean(dim=(1, 2, 3), keepdim=True)
        return self.gain * centred * torch.rsqrt(variance * self.fan_in + self.EPSILON)

    def forward(self, maps: Tensor) -> Tensor:
        """``(batch, inputs, height, width)`` -> ``(batch, outputs, height / stride, width / stride)``."""
        return functional.conv2d(maps, self.plain_weight(), self.bias, self.stride, self.padding)


def initialise(model: nn.Module, generator: torch.Generator) -> None:
    """Fills every layer that has an ``initialise``, in the order of the modules' names."""
    with torch.no_grad():
        for _, module in sorted(model.named_modules()):
            own = getattr(module, "initialise", None)
            if own is not None:
                own(generator)


def use_dropout(model: nn.Module, generator: torch.Generator | None) -> None:
    """Gives every dropout its random numbers, or takes them away."""
    for module in model.modules():
        if isinstance(module, Dropout):
            module.generator = generator
