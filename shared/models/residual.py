"""The family for images: a residual convolutional net without batch statistics (He et al. 2016; Brock et al. 2021)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from shared.errors import ConfigError
from shared.models.convolutions import convolution
from shared.models.layers import Linear
from shared.models.staged import StagedNet
from shared.settings import Convolution, NetworkSettings
from shared.task import ImageTask
from shared.work import Normalisation

LARGEST_MAP = 32
"""Pixels of a side beyond which a convolution halves the image before any block works on it."""
SMALLEST_MAP = 4
MOST_STAGES = 4
RELU_GAIN = 1.7139
"""1 / deviation of a ReLU of a normal variable (Brock et al. 2021): keeps activations at deviation 1."""
BRANCH_GAIN = 0.5
"""A branch starts weaker than the way around it, so that a deep net starts near a shallow one."""


class ResidualNet(StagedNet):
    """A stem, stages of residual blocks that halve the map and double the channels, the mean over the map, a classifier."""

    def __init__(self, settings: NetworkSettings, task: ImageTask, normalisation: Normalisation) -> None:
        super().__init__(settings, task, normalisation)
        # What is compressed is known to have learnt: the stem is then plain too.
        stem: Convolution = "standardised" if settings.convolution == "standardised" else "plain"
        self.stem = convolution(stem, task.channels, settings.width, 3, stride=stem_stride(task))
        self.stages = nn.ModuleList()
        channels, done = settings.width, 0
        for blocks, width, first_stride in layout(settings, stem_size(task)):
            stage = nn.Sequential()
            for place in range(blocks):
                inner, kind = settings.inner_of(done + place, width), settings.convolution_of(done + place)
                stage.append(ResidualBlock(channels, width, first_stride if place == 0 else 1, inner, kind))
                channels = width
            self.stages.append(stage)
            done += blocks
        self.head = Linear(channels, len(task.labels))


class ResidualBlock(nn.Module):
    """``relu(around(x) + branch(x))`` with two 3 × 3 convolutions of a ``kind`` in the branch, ``inner`` channels between them.

    The way around is the map itself, or a 1 × 1 convolution where channels or size change.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, inner: int, kind: Convolution) -> None:
        super().__init__()
        self.first = convolution(kind, inputs, inner, 3, stride=stride, gain=RELU_GAIN)
        self.second = convolution(kind, inner, outputs, 3, gain=RELU_GAIN * BRANCH_GAIN)
        changes = inputs != outputs or stride != 1
        self.around = convolution(kind, inputs, outputs, 1, stride=stride, gain=RELU_GAIN) if changes else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """``(batch, inputs, height, width)`` -> ``(batch, outputs, height / stride, width / stride)``."""
        branch = self.second(functional.relu(self.first(maps)))
        return functional.relu(self.around(maps) + branch)


def stem_size(task: ImageTask) -> int:
    """Side of the maps that the stem gives."""
    return -(-task.size // stem_stride(task))


def stem_stride(task: ImageTask) -> int:
    """Pixels that the stem's convolution goes on by."""
    return 1 if task.size <= LARGEST_MAP else 2


def layout(settings: NetworkSettings, size: int) -> list[tuple[int, int, int]]:
    """For each stage its blocks, its channels and the stride of its first block, for maps of ``size`` after the stem.

    Blocks are dealt evenly, the later stages first, unless ``stage_blocks`` says how; there are as many stages as halvings leave a map
    of 4 or more. Raises :class:`ConfigError` where ``stage_blocks`` has more stages than that.
    """
    set_blocks = settings.stage_blocks
    most = min(settings.depth, MOST_STAGES) if set_blocks is None else len(set_blocks)
    strides = [1 if size <= LARGEST_MAP else 2]
    while len(strides) < min(most, MOST_STAGES) and -(-size // 2 ** strides.count(2)) // 2 >= SMALLEST_MAP:
        strides.append(2)
    stages = len(strides)
    if set_blocks is not None and stages < most:
        raise ConfigError(f"stage_blocks has {most} stages, but images of this size have at most {stages}; leave it out or shorten it")
    blocks = set_blocks or [(settings.depth + place) // stages for place in range(stages)]
    return [(count, settings.width * 2**place, strides[place]) for place, count in enumerate(blocks)]
