"""Preparation is arithmetic that a file describes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from shared.errors import CheckpointError
from shared.teachers.pixels import Pixels, read_pixels


def test_values_are_scaled_and_normalised_by_channel() -> None:
    images = torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8)
    found = Pixels(mean=(0.5, 0.2, 0.5), deviation=(0.5, 0.2, 0.25))(images)
    torch.testing.assert_close(found, torch.tensor([-1.0, 0.0, 2.0]).reshape(1, 3, 1, 1))
    assert Pixels(scale=1.0, offset=1.0)(images)[0, 2, 0, 0] == 254


def test_grey_becomes_three_and_colour_becomes_grey() -> None:
    grey = torch.full((2, 4, 4, 1), 10, dtype=torch.uint8)
    assert (Pixels(scale=1.0)(grey) == 10).all()
    assert Pixels(scale=1.0)(grey).shape == (2, 3, 4, 4)
    assert Pixels(channels=1, scale=1.0)(torch.cat([grey, grey * 2, grey * 3], dim=3)).unique().tolist() == [20]


@pytest.mark.parametrize(("mode", "number"), [("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)])
@pytest.mark.parametrize("side", [6, 32])
def test_resizing_is_pillows_but_for_rounding(mode: str, number: Image.Resampling, side: int) -> None:
    # No black and white beside each other: Pillow cuts off what overshoots between its two passes.
    image = np.random.default_rng(1).integers(80, 176, (16, 16, 3), dtype=np.uint8)
    found = Pixels(size=side, mode=mode, scale=1.0)(torch.from_numpy(image)[None])[0].permute(1, 2, 0)
    expected = np.asarray(Image.fromarray(image).resize((side, side), number))
    assert np.abs(found.numpy() - expected).max() <= 1.5


@pytest.mark.parametrize(
    ("table", "shape"),
    [
        ({"size": 24}, 24),
        ({"size": {"shortest_edge": 24}, "do_center_crop": True, "crop_size": {"height": 20, "width": 20}}, 20),
        ({"size": {"shortest_edge": 24}, "crop_pct": 0.875}, 24),
        ({"do_resize": False, "size": 24}, 16),
        ({"do_resize": False, "do_center_crop": True, "crop_size": 30}, 30),
        ({}, 16),
    ],
)
def test_the_file_decides_the_size(tmp_path: Path, table: dict[str, object], shape: int) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(table))
    found = read_pixels(tmp_path, 3)(torch.zeros(1, 16, 16, 3, dtype=torch.uint8))
    assert found.shape == (1, 3, shape, shape)


@pytest.mark.parametrize("content", ["", "[]", '{"size": "x"}', '{"size": {}, "image_mean": 3}', '{"size": 1000000}', '{"size": -1}'])
def test_nonsense_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "preprocessor_config.json").write_text(content)
    with pytest.raises(CheckpointError, match="does not say how images are prepared"):
        read_pixels(tmp_path, 3)
