"""Raw images as a vision model wants them, after its ``preprocessor_config.json``, in plain tensor arithmetic."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from shared.errors import CheckpointError
from shared.files import read_bytes

_MODES = {0: "nearest", 1: "bicubic", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of filters; for Lanczos (1), which torch has not, the one most like it."""


@dataclass(frozen=True)
class Pixels:
    """``x -> (scale * crop(resize(x)) - offset - mean) / deviation``, a value for each of ``channels``.

    ``size`` and ``crop`` are sides of squares (tasks have square images); 0 leaves the image as it is.
    """

    channels: int = 3
    size: int = 0
    crop: int = 0
    mode: str = "bilinear"
    scale: float = 1 / 255
    offset: float = 0.0
    mean: tuple[float, ...] = (0.0,)
    deviation: tuple[float, ...] = (1.0,)

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 ``(batch, H, W, C)`` -> float32 ``(batch, channels, H', W')``; one grey channel is repeated for three."""
        values = images.permute(0, 3, 1, 2).to(torch.float32)
        if values.shape[1] != self.channels:
            values = values.expand(-1, self.channels, -1, -1) if values.shape[1] == 1 else values.mean(dim=1, keepdim=True)
        if self.size and values.shape[-2:] != (self.size, self.size):
            smooth = {} if self.mode == "nearest" else {"antialias": True, "align_corners": False}
            values = functional.interpolate(values, (self.size, self.size), mode=self.mode, **smooth).clamp(0, 255)
        if self.crop:
            values = _centre(values, self.crop)
        mean, deviation = (torch.tensor(figures).reshape(1, -1, 1, 1) for figures in (self.mean, self.deviation))
        return (values * self.scale - self.offset - mean) / deviation


def read_pixels(folder: Path, channels: int) -> Pixels:
    """What ``preprocessor_config.json`` says. Raises :class:`MissingFileError` without it and :class:`CheckpointError` for nonsense."""
    path = folder / "preprocessor_config.json"
    try:
        return _parsed(json.loads(read_bytes(path, what="image preparation")), channels)
    except (ValueError, TypeError, KeyError, AttributeError, StopIteration) as error:
        raise CheckpointError(f"{path} does not say how images are prepared; copy the teacher's folder again") from error


def _parsed(table: dict[str, Any], channels: int) -> Pixels:
    size = _side(table["size"]) if table.get("do_resize", True) and table.get("size") else 0
    crop = _side(table["crop_size"]) if table.get("do_center_crop") and table.get("crop_size") else 0
    if size and size < 384 and table.get("crop_pct"):
        # ConvNeXt's rule: resize to a larger square, and cut the middle out of it.
        size, crop = int(size / float(table["crop_pct"])), size
    normal = bool(table.get("do_normalize", True))
    return Pixels(
        channels=channels,
        size=size,
        crop=crop,
        mode=_MODES.get(int(table.get("resample", 2)), "bilinear"),
        scale=float(table.get("rescale_factor", 1 / 255)) if table.get("do_rescale", True) else 1.0,
        offset=1.0 if table.get("rescale_offset") else 0.0,
        mean=tuple(float(value) for value in table.get("image_mean", (0.0,))) if normal else (0.0,),
        deviation=tuple(float(value) for value in table.get("image_std", (1.0,))) if normal else (1.0,),
    )


def _side(size: Any) -> int:
    side = int(next(iter(size.values()))) if isinstance(size, dict) else int(size[0] if isinstance(size, list) else size)
    if not 1 <= side <= 4096:
        raise ValueError(f"a side of {side} pixels")
    return side


def _centre(values: Tensor, side: int) -> Tensor:
    height, width = values.shape[-2:]
    if height < side or width < side:
        values = functional.pad(values, (0, max(side - width, 0), 0, max(side - height, 0)))
        height, width = values.shape[-2:]
    top, left = (height - side) // 2, (width - side) // 2
    return values[..., top : top + side, left : left + side]
