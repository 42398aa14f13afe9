"""A net of every family that can be pruned, and shapes that only pruning makes."""

from __future__ import annotations

import torch
from torch import nn

from shared.models.convolutions import ShiftedConv, kernel_of
from shared.settings import NetworkSettings
from shared.task import Task
from tests.support.networks import IMAGES, TABLE, TEXTS

FAMILIES: dict[str, tuple[Task, NetworkSettings]] = {
    "table": (TABLE, NetworkSettings(width=16, depth=4, heads=4)),
    "perceptron": (TABLE, NetworkSettings(width=16, depth=4, architecture="perceptron")),
    "residual": (IMAGES, NetworkSettings(width=8, depth=5)),
    "mobile": (IMAGES, NetworkSettings(width=16, depth=6, architecture="mobile")),
    "patches": (IMAGES, NetworkSettings(width=16, depth=4, heads=4, architecture="transformer")),
    "encoder": (TEXTS, NetworkSettings(width=16, depth=4, heads=4)),
    "decoder": (TEXTS, NetworkSettings(width=16, depth=4, heads=4, architecture="decoder")),
}
PRUNED: dict[str, tuple[Task, NetworkSettings]] = {
    "table": (TABLE, NetworkSettings(width=8, depth=2, heads=2, head_width=3, block_heads=(1, 2), inner=(5, 7))),
    "perceptron": (TABLE, NetworkSettings(width=8, depth=2, architecture="perceptron", inner=5)),
    "residual": (
        IMAGES,
        NetworkSettings(width=8, depth=3, stage_blocks=(1, 2), inner=(4, 6, 9), convolution=("plain", "separable", "factorised")),
    ),
    "mobile": (IMAGES, NetworkSettings(width=8, depth=3, architecture="mobile", stage_blocks=(1, 2), inner=20)),
    "patches": (IMAGES, NetworkSettings(width=8, depth=2, architecture="transformer", head_width=2, heads=3)),
    "text": (TEXTS, NetworkSettings(width=8, depth=2, heads=2, head_width=3, activation="relu")),
}


@torch.no_grad()
def deaf(reads: nn.Module, channels: list[int]) -> None:
    """What reads a block's inner channels does not hear some of them any more."""
    layer = reads.get_submodule("mix") if hasattr(reads, "mix") else reads
    kernel = kernel_of(layer).clone()
    kernel[:, channels] = 0
    layer.set_kernel(kernel) if isinstance(layer, ShiftedConv) else layer.get_parameter("weight").copy_(kernel)
