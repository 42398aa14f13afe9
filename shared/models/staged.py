"""What the convolutional families share: a stem, stages that are shown, the mean over the last map, a classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shared.models.cells import activation_attention, cells
from shared.models.features import Features
from shared.models.layers import Dropout, Linear
from shared.models.network import Network
from shared.settings import NetworkSettings
from shared.task import ImageTask
from shared.work import Normalisation


class StagedNet(Network):
    """``stem``, ``stages`` and ``head`` are the family's; its ``rectify`` is what follows the stem."""

    stem: nn.Module
    stages: nn.ModuleList
    head: Linear

    def __init__(self, settings: NetworkSettings, task: ImageTask, normalisation: Normalisation) -> None:
        super().__init__(settings, task, normalisation)
        for name, values in (("mean", normalisation.means), ("deviation", normalisation.deviations)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).reshape(1, -1, 1, 1))
        self.dropout = Dropout(settings.dropout)

    @staticmethod
    def rectify(maps: Tensor) -> Tensor:
        """The family's activation."""
        return torch.relu(maps)

    def features(self, inputs: Tensor) -> Features:
        """One state and one activation attention for each stage; the first state is the stem's."""
        maps = self._maps(inputs)
        return Features(self._classify(maps[-1]), tuple(cells(one) for one in maps), tuple(activation_attention(one) for one in maps[1:]))

    def forward(self, inputs: Tensor) -> Tensor:
        """uint8 ``(batch, height, width, channels)`` -> logits ``(batch, labels)``."""
        return self._classify(self._maps(inputs)[-1])

    def _maps(self, inputs: Tensor) -> list[Tensor]:
        pixels = inputs.permute(0, 3, 1, 2).to(torch.float32)
        maps = [self.rectify(self.stem((pixels - self.get_buffer("mean")) / self.get_buffer("deviation")))]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps

    def _classify(self, maps: Tensor) -> Tensor:
        logits: Tensor = self.head(self.dropout(maps.mean(dim=(2, 3))))
        return logits
