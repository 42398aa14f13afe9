"""k × k convolutions of a residual net split in two, each pair the nearest to the old kernel that the least squares find.

Depthwise and pointwise: of each input channel the kernels to all outputs, a matrix ``(outputs, k²)``, become the nearest one of rank 1.
Factorised: the matrix ``(inputs k, k outputs)`` of columns and rows becomes the nearest one of as many ranks as there are channels
between the two. Both by the singular value decomposition (Eckart & Young 1936; of convolutions, Jaderberg et al. 2014, section 2.1).
What is lost has to be healed by distillation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from shared.compress.rewrite.plain import plain_convolutions
from shared.compress.rewrite.remake import remade, shared_entry
from shared.errors import ConfigError
from shared.models.convolutions import FactorisedConv, SeparableConv, ShiftedConv, kernel_of
from shared.models.network import Network
from shared.models.residual import ResidualBlock, ResidualNet

Split = Literal["separable", "factorised"]


def split_convolutions(student: Network, kind: Split, blocks: Sequence[int] | None = None) -> Network:
    """A new student in which both convolutions of these ``blocks`` (by their place in the depth; default: of all whole ones) are split.

    Raises :class:`ConfigError` for a student that has no such convolutions, or blocks that are split already.
    """
    plain = plain_convolutions(student)
    whole = splittable(plain)
    chosen = whole if blocks is None else tuple(blocks)
    if not chosen or not set(chosen) <= set(whole):
        raise ConfigError(f"the student has no whole k × k convolutions in blocks {list(chosen)}; choose among {list(whole)}")
    settings = plain.settings
    kinds = [kind if place in chosen else settings.convolution_of(place) for place in range(settings.depth)]
    made = remade(plain, convolution=shared_entry(kinds))
    with torch.no_grad():
        for place, (old, new) in enumerate(zip(_blocks(plain), _blocks(made), strict=True)):
            if place in chosen:
                _fill(old.first, new.first)
                _fill(old.second, new.second)
    return made


def splittable(student: Network) -> tuple[int, ...]:
    """The places of the blocks whose convolutions are whole; none in a net of another family than the residual one."""
    if not isinstance(student, ResidualNet):
        return ()
    return tuple(place for place, block in enumerate(_blocks(student)) if isinstance(block.first, nn.Conv2d))


def lost(student: Network, kind: Split) -> dict[int, float]:
    """Of each block that can be split, the part of its kernels' squared length that the nearest split ones have not, 0 to 1.

    How little that is says which blocks are split at the least cost, before anything is measured.
    """
    plain = plain_convolutions(student)
    found = {}
    for place in splittable(plain):
        block = _blocks(plain)[place]
        kernels = [kernel_of(layer).detach() for layer in (block.first, block.second)]
        total = sum(float(kernel.square().sum()) for kernel in kernels)
        missed = sum(float((kernel - _joined(kernel, kind)).square().sum()) for kernel in kernels)
        found[place] = missed / total if total else 0.0
    return found


def separated(kernel: Tensor) -> tuple[Tensor, Tensor]:
    """``(outputs, inputs, k, k)`` -> depthwise ``(inputs, 1, k, k)`` and pointwise ``(outputs, inputs, 1, 1)``.

    ``pointwise[o, i] depthwise[i]`` is nearest to ``kernel[o, i]``.
    """
    outputs, inputs, height, width = kernel.shape
    left, size, right = torch.linalg.svd(kernel.double().permute(1, 0, 2, 3).reshape(inputs, outputs, height * width), full_matrices=False)
    root = size[:, 0].sqrt()
    depthwise = (root[:, None] * right[:, 0]).reshape(inputs, 1, height, width)
    pointwise = (left[:, :, 0] * root[:, None]).T.reshape(outputs, inputs, 1, 1)
    return depthwise.to(kernel.dtype), pointwise.to(kernel.dtype)


def factorised(kernel: Tensor, between: int) -> tuple[Tensor, Tensor]:
    """``(outputs, inputs, k, k)`` -> ``(between, inputs, 1, k)`` and ``(outputs, between, k, 1)``, their composition nearest to it."""
    outputs, inputs, height, width = kernel.shape
    matrix = kernel.double().permute(1, 3, 2, 0).reshape(inputs * width, height * outputs)
    left, size, right = torch.linalg.svd(matrix, full_matrices=False)
    rank = min(between, len(size))
    across = torch.zeros(between, inputs * width, dtype=torch.float64)
    down = torch.zeros(between, height * outputs, dtype=torch.float64)
    across[:rank] = (left[:, :rank] * size[:rank].sqrt()).T
    down[:rank] = size[:rank].sqrt()[:, None] * right[:rank]
    return (
        across.reshape(between, inputs, 1, width).to(kernel.dtype),
        down.reshape(between, height, outputs).permute(2, 0, 1).unsqueeze(3).to(kernel.dtype),
    )


def _joined(kernel: Tensor, kind: Split) -> Tensor:
    if kind == "separable":
        depthwise, pointwise = separated(kernel)
        return pointwise * depthwise[:, 0]
    across, down = factorised(kernel, min(kernel.shape[:2]))
    return torch.einsum("mix,omy->oiyx", across[:, :, 0], down[:, :, :, 0])


def _fill(old: nn.Module, new: nn.Module) -> None:
    assert isinstance(old, ShiftedConv)
    if isinstance(new, SeparableConv):
        first, second = new.look, new.mix
        parts = separated(old.plain_weight())
    else:
        assert isinstance(new, FactorisedConv)
        first, second = new.across, new.down
        parts = factorised(old.plain_weight(), new.across.out_channels)
    for layer, part in zip((first, second), parts, strict=True):
        layer.set_kernel(part, old.growth())
    if second.bias is not None and old.bias is not None:
        second.bias.copy_(old.bias)


def _blocks(student: Network) -> list[ResidualBlock]:
    return [block for block in student.modules() if isinstance(block, ResidualBlock)]
