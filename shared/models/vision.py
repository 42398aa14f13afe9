"""The second family for images: a transformer over patches (ViT, Dosovitskiy et al. 2021)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from shared.errors import ConfigError
from shared.models.features import Features
from shared.models.layers import Dropout, Linear
from shared.models.network import Network
from shared.models.transformer import Block, classified
from shared.settings import NetworkSettings
from shared.task import ImageTask
from shared.work import Normalisation

PATCHES = 8
"""Patches a side where the settings say nothing."""


class VisionTransformer(Network):
    """Patches and a class token, with learnt positions, through pre-norm blocks; the class token is classified.

    The blocks are those of the family for tables. Raises :class:`ConfigError` where patches do not tile the image.
    """

    def __init__(self, settings: NetworkSettings, task: ImageTask, normalisation: Normalisation) -> None:
        super().__init__(settings, task, normalisation)
        for name, values in (("mean", normalisation.means), ("deviation", normalisation.deviations)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32))
        self.patch = patch_side(settings, task)
        self.side = task.size // self.patch
        self.project = Linear(self.patch**2 * task.channels, settings.width)
        self.class_token = nn.Parameter(torch.empty(1, 1, settings.width))
        self.positions = nn.Parameter(torch.empty(1, self.side**2 + 1, settings.width))
        self.dropout = Dropout(settings.dropout)
        self.blocks = nn.ModuleList(Block(settings, place) for place in range(settings.depth))
        self.norm = nn.LayerNorm(settings.width)
        self.head = Linear(settings.width, len(task.labels))

    def initialise(self, generator: torch.Generator) -> None:
        """Fills class token and positions, uniform within ± 1 / sqrt(width)."""
        bound = 1 / math.sqrt(self.settings.width)
        for parameter in (self.class_token, self.positions):
            nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def features(self, inputs: Tensor) -> Features:
        """Tokens are the class token, then the patches row by row."""
        tokens = self.project(self._patches(inputs))
        hidden = self.dropout(torch.cat([self.class_token.expand(tokens.shape[0], -1, -1), tokens], dim=1) + self.positions)
        return classified(hidden, self.blocks, self.norm, self.head)

    def forward(self, inputs: Tensor) -> Tensor:
        """uint8 ``(batch, height, width, channels)`` -> logits ``(batch, labels)``."""
        return self.features(inputs).logits

    def _patches(self, inputs: Tensor) -> Tensor:
        pixels = (inputs.to(torch.float32) - self.get_buffer("mean")) / self.get_buffer("deviation")
        channels = pixels.shape[-1]
        tiles = pixels.reshape(-1, self.side, self.patch, self.side, self.patch, channels).permute(0, 1, 3, 2, 4, 5)
        return tiles.reshape(-1, self.side**2, self.patch**2 * channels)


def patch_side(settings: NetworkSettings, task: ImageTask) -> int:
    """Pixels of a patch's side. Raises :class:`ConfigError` where patches do not tile the image."""
    patch = settings.patch or max(1, task.size // PATCHES)
    if task.size % patch:
        raise ConfigError(f"patch {patch} does not divide the image's side of {task.size} pixels; set a patch that does")
    return patch
