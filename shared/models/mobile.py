"""The family for images on small devices: inverted residual blocks laid out as in EfficientNet-lite0 (Sandler et al. 2018; Tan & Le 2019).

Activations are ReLU6, as in the original: with ReLU its weights see maps that they were not trained on. There is no batch
normalisation: a pretrained net's is folded into its convolutions (``shared/models/imagenet.py``), so that nothing but weights is shared.
Such a net is meant to start from pretrained weights; from random ones a ``convolutional`` net learns better.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from shared.models.convolutions import Conv
from shared.models.layers import Linear
from shared.models.residual import stem_stride
from shared.models.staged import StagedNet
from shared.settings import NetworkSettings
from shared.task import ImageTask
from shared.work import Normalisation

STEM = 32
"""Channels of the full net's stem; ``width`` scales every other number of channels with it."""
LAYOUT = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3))
"""Of each stage the expansion, channels, blocks, stride of the first block, and the kernel (Tan & Le 2019, table 1)."""
BLOCKS = sum(blocks for _, _, blocks, _, _ in LAYOUT)
MULTIPLE = 8
"""Channels are multiples of it: what a kernel works on at once."""
BRANCH_GAIN = 0.5


class MobileNet(StagedNet):
    """A stem, the first ``depth`` of the layout's blocks, the mean over the map, a classifier."""

    def __init__(self, settings: NetworkSettings, task: ImageTask, normalisation: Normalisation) -> None:
        super().__init__(settings, task, normalisation)
        self.stem = Conv(task.channels, settings.width, 3, stride=stem_stride(task))
        self.stages = nn.ModuleList()
        channels, done = settings.width, 0
        for expansion, outputs, blocks, stride, kernel in stages(settings):
            stage = nn.Sequential()
            for place in range(blocks):
                inner = settings.inner_of(done + place, channels * expansion) if expansion > 1 else channels
                stage.append(InvertedResidual(channels, outputs, inner, stride if place == 0 else 1, kernel, widens=expansion > 1))
                channels = outputs
            self.stages.append(stage)
            done += blocks
        self.head = Linear(channels, len(task.labels))

    @staticmethod
    def rectify(maps: Tensor) -> Tensor:
        """ReLU6."""
        return functional.relu6(maps)


class InvertedResidual(nn.Module):
    """Widen by a 1 × 1 convolution, look around channel by channel, narrow again; added to the map where shapes allow.

    A block that does not widen has as many ``inner`` channels as ``inputs``.
    """

    def __init__(self, inputs: int, outputs: int, inner: int, stride: int, kernel: int, *, widens: bool) -> None:
        super().__init__()
        self.widen = Conv(inputs, inner, 1) if widens else None
        self.look = Conv(inner, inner, kernel, stride=stride, groups=inner)
        self.adds = stride == 1 and inputs == outputs
        self.narrow = Conv(inner, outputs, 1, gain=BRANCH_GAIN if self.adds else 1.0)

    def forward(self, maps: Tensor) -> Tensor:
        """``(batch, inputs, height, width)`` -> ``(batch, outputs, height / stride, width / stride)``."""
        inner = functional.relu6(self.widen(maps)) if self.widen is not None else maps
        branch: Tensor = self.narrow(functional.relu6(self.look(inner)))
        return maps + branch if self.adds else branch


def stages(settings: NetworkSettings) -> list[tuple[int, int, int, int, int]]:
    """The stages as in :data:`LAYOUT`, of its first ``settings.depth`` blocks, channels scaled by ``settings.width``.

    ``settings.expansion`` replaces the layout's 6, ``settings.stage_blocks`` its numbers of blocks. More depth than the layout has
    gives all of it.
    """
    found, left = [], settings.depth
    for place, (expansion, channels, blocks, stride, kernel) in enumerate(LAYOUT):
        if left <= 0:
            break
        count = min(blocks, left) if settings.stage_blocks is None else settings.stage_blocks[place]
        wide = settings.expansion or expansion if expansion > 1 else 1
        found.append((wide, _scaled(channels, settings.width), count, stride, kernel))
        left -= count
    return found


def _scaled(channels: int, width: int) -> int:
    return max(MULTIPLE, round(channels * width / STEM / MULTIPLE) * MULTIPLE)
