"""Tensors on the grids of ``shared/compress/quantise.py``, differentiable: what the runtime computes on the way, gradients as if straight.

Activations lie on an unsigned grid of 8 bits, weights on a symmetric one with a step a channel, biases on multiples of
both steps' product, rows of large tables on one of 8 bits with a step a row.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from shared.compress.quantise import ROW_LIMIT, activation_grid

LAST = 255
"""The highest step of the activations' grid."""
_COARSE, _FRACTIONS = 5, 51
_SMALLEST = 1e-12
_MOST_VALUES = 2**18
"""Values that the search for steps looks at together: more no longer fit into a processor's cache."""


class Grid(NamedTuple):
    """One activation's grid: ``scale * (k - zero)``, ``k`` from 0 to 255; ``ends``, its range ``(2,)``, learns where it is given."""

    scale: float
    zero: int
    ends: Tensor | None = None

    @classmethod
    def over(cls, low: float, high: float, ends: Tensor | None = None) -> Grid:
        """The grid that the exported file has for this range."""
        return cls(*activation_grid(low, high), ends)


def activations(values: Tensor, grid: Grid) -> Tensor:
    """The values on the grid, rounded half to even as the runtime does, and clipped at its ends; same shape.

    The gradient goes straight through where nothing is clipped, and is 0 elsewhere. That of the range's ends (low, high)
    is 1 for what is clipped there, and ``± (q(x) - x) / (255 scale)`` for what is rounded, all divided by
    ``sqrt(255 N)``, ``N`` values a record (Esser et al. 2020, "Learned step size quantization", eq. 3 and section 2.2; for a
    range instead of a step as in Jain et al. 2020, section 3).
    """
    found: Tensor = _OnGrid.apply(values, grid.ends, grid.scale, grid.zero)  # type: ignore[no-untyped-call]
    return found


def weights(values: Tensor, scales: Tensor, axis: int, limit: int) -> Tensor:
    """The weights on the grid ``-limit .. limit`` of each channel's step ``scales (channels,)``; the gradient goes straight through.

    It does so beyond the grid's ends too: the steps follow the weights, so that none is out of reach for good.
    """
    shape = [1] * values.dim()
    shape[axis] = -1
    steps = scales.reshape(shape)
    found: Tensor = _Straight.apply(values, torch.round(values.detach() / steps).clamp_(-limit, limit) * steps)  # type: ignore[no-untyped-call]
    return found


def bias(values: Tensor, scales: Tensor, scale: float) -> Tensor:
    """Biases as multiples of the accumulator's step, ``scales (channels,)`` of the weights times that of the activation."""
    steps = scales * scale
    found: Tensor = _Straight.apply(values, torch.round(values.detach() / steps) * steps)  # type: ignore[no-untyped-call]
    return found


def rows(values: Tensor) -> Tensor:
    """Rows of a table of embeddings ``(..., width)`` as the file keeps them: 8 bits, one step a row."""
    still = values.detach()
    steps = (still.abs().amax(dim=-1, keepdim=True) / ROW_LIMIT).clamp_min(1e-30)
    found: Tensor = _Straight.apply(values, torch.round(still / steps) * steps)  # type: ignore[no-untyped-call]
    return found


def step_sizes(values: Tensor, axis: int, limit: int) -> Tensor:
    """``(channels,)``: the steps of :func:`shared.compress.weights.channel_scales`, found in a third of the tries, without gradient.

    First every fifth of its fractions, then those around the best: the error has one valley, so that both agree but where
    two fractions are as good as equal.
    """
    with torch.no_grad():
        channels = values.detach().movedim(axis, 0).reshape(values.shape[axis], -1)
        largest = channels.abs().amax(dim=1).clamp_min(_SMALLEST)
        fractions = torch.linspace(0.5, 1.0, _FRACTIONS, dtype=torch.float64).flip(0).to(values.device, values.dtype)
        coarse = torch.arange(0, _FRACTIONS, _COARSE, device=values.device)
        best = coarse[_errors(channels, largest[:, None] * fractions[coarse] / limit, limit).argmin(dim=1)]
        around = torch.arange(-_COARSE + 1, _COARSE, device=values.device)
        near = (best[:, None] + around).clamp(0, _FRACTIONS - 1)
        steps = largest[:, None] * fractions[near] / limit
        chosen = _errors(channels, steps, limit).argmin(dim=1, keepdim=True)
        return steps.gather(1, chosen).squeeze(1)


def _errors(channels: Tensor, steps: Tensor, limit: int) -> Tensor:
    # (channels, tries): small weights all tries at once, large ones a few at a time, so that memory stays bounded.
    several = max(1, _MOST_VALUES // max(1, channels.numel()))
    found = []
    for part in steps.split(several, dim=1):  # type: ignore[no-untyped-call]
        step = part.unsqueeze(-1)
        values = channels.unsqueeze(1)
        found.append((torch.round(values / step).clamp_(-limit, limit).mul_(step).sub_(values)).square_().sum(dim=2))
    return torch.cat(found, dim=1)


class _OnGrid(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, ends: Tensor | None, scale: float, zero: int) -> Tensor:
        ctx.scale, ctx.zero = scale, zero
        ctx.save_for_backward(values)
        return _on_grid(values, scale, zero)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (values,), scale, zero = gradients, ctx.saved_tensors, ctx.scale, ctx.zero
        below, above = values < -zero * scale, values > (LAST - zero) * scale
        ends = None
        if ctx.needs_input_grad[1]:
            rounding = (_on_grid(values, scale, zero) - values).masked_fill_(below | above, 0.0)
            step = (gradient * rounding).sum() / (scale * LAST)
            found = torch.stack([(gradient * below).sum() - step, (gradient * above).sum() + step])
            ends = found / math.sqrt(LAST * max(1, values[:1].numel()))
        return gradient.masked_fill(below | above, 0.0), ends, None, None


class _Straight(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, replaced: Tensor) -> Tensor:
        return replaced.view_as(replaced)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return gradients[0], None


def _on_grid(values: Tensor, scale: float, zero: int) -> Tensor:
    return torch.round(values / scale).add_(zero).clamp_(0, LAST).sub_(zero).mul_(scale)
