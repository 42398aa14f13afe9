"""EfficientNet-lite0's pretrained weights as a model of this package: batch normalisation folded, no code of anyone's is run."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from shared.errors import CheckpointError, MissingFileError
from shared.models.build import build
from shared.models.mobile import BLOCKS, LAYOUT, STEM
from shared.models.network import Network
from shared.settings import NetworkSettings
from shared.task import ImageTask
from shared.work import Normalisation

SUFFIX = ".pth"
MEAN, DEVIATION = 127.0, 128.0
"""What the pretrained net's pixels were normalised with, of 255, in every channel."""
_EPSILON = 1e-3
"""Of the pretrained net's batch normalisation."""


def load_imagenet(path: Path, task: ImageTask, normalisation: Normalisation) -> Network:
    """EfficientNet-lite0 from ``path`` (``.pth``, or safetensors of the same names) with a new head for ``task``.

    Normalisation of pixels and batches is folded into the convolutions, so that the net answers as the original but for its borders: pixels
    beyond them are the task's mean, and strides begin a pixel earlier than in the original, which pads one side only. Grey images
    are seen as three equal channels. Raises :class:`MissingFileError`, :class:`CheckpointError` for other or damaged weights.
    """
    given = _read(path)
    model = build(NetworkSettings(width=STEM, depth=BLOCKS, architecture="mobile"), task, normalisation, seed=0)
    try:
        values = _folded(given, normalisation, task.channels)
        model.load_state_dict({**{name: tensor for name, tensor in model.state_dict().items() if name not in values}, **values})
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"the weights in {path} are not those of an EfficientNet-lite0; give another initial_path, or none"
        ) from error
    return model


def _read(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise MissingFileError(f"the model {path} is not there; correct initial_path or leave it out")
    try:
        if path.suffix != SUFFIX:
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    # UserWarning: what torch says of a pickle that is no checkpoint, where warnings are errors.
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError, UserWarning) as error:
        raise CheckpointError(f"{path} is damaged, or holds more than weights; fetch it again") from error
    if not isinstance(found, dict) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise CheckpointError(f"{path} holds more than weights by name; give another initial_path, or none")
    return found


def _folded(given: Mapping[str, Tensor], normalisation: Normalisation, channels: int) -> dict[str, Tensor]:
    weight, bias = _without_norm(given["_conv_stem.weight"], given, "_bn0")
    found = dict(zip(("stem.weight", "stem.bias"), _for_pixels(weight, bias, normalisation, channels), strict=True))
    number = 0
    for stage, (expansion, _, blocks, _, _) in enumerate(LAYOUT):
        for block in range(blocks):
            theirs, own = f"_blocks.{number}.", f"stages.{stage}.{block}."
            parts = [("_expand_conv", "_bn0", "widen")] if expansion > 1 else []
            for convolution, norm, name in [*parts, ("_depthwise_conv", "_bn1", "look"), ("_project_conv", "_bn2", "narrow")]:
                weight, bias = _without_norm(given[f"{theirs}{convolution}.weight"], given, theirs + norm)
                found |= {f"{own}{name}.weight": weight, f"{own}{name}.bias": bias}
            number += 1
    return found


def _without_norm(weight: Tensor, given: Mapping[str, Tensor], norm: str) -> tuple[Tensor, Tensor]:
    # γ (W x − μ) / √(σ² + ε) + β
    scale = given[f"{norm}.weight"] / torch.sqrt(given[f"{norm}.running_var"] + _EPSILON)
    return weight * scale.reshape(-1, 1, 1, 1), given[f"{norm}.bias"] - given[f"{norm}.running_mean"] * scale


def _for_pixels(weight: Tensor, bias: Tensor, normalisation: Normalisation, channels: int) -> tuple[Tensor, Tensor]:
    """The stem for pixels that are normalised as the task's: ``(x − 127) / 128 = (x' d + m − 127) / 128``."""
    if channels == 1:
        weight = weight.sum(dim=1, keepdim=True)
    elif channels != weight.shape[1]:
        raise CheckpointError(f"the initial model sees images of 1 or 3 channels, the task's have {channels}; leave out initial_path")
    means, deviations = (
        torch.tensor(values, dtype=torch.float32).reshape(1, -1, 1, 1) for values in (normalisation.means, normalisation.deviations)
    )
    shift = (weight * (means - MEAN) / DEVIATION).sum(dim=(1, 2, 3))
    return weight * deviations / DEVIATION, bias + shift
