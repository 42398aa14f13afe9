"""Photographs of retinas, graded 0 (none) to 4 (proliferative) for diabetic retinopathy: two public sets.

``retinamnist`` (Yang et al. 2023; 28 px; its own 1,080 / 120 / 400 split) and ``idrid`` (Porwal et al. 2018; 128 px
here, halved to 64 px by averaging, so that two cores suffice; its own 413 / 103 split, of whose training part a seeded
fifth is held out to choose by).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from shared.data.records import Records
from shared.errors import MissingFileError

Source = Literal["retinamnist", "idrid"]
GRADES = ("none", "mild", "moderate", "severe", "proliferative")
FILES: dict[Source, str] = {"retinamnist": "retinamnist.npz", "idrid": "idrid_grading_128.npz"}

_IDRID_VALIDATION = 0.2
_IDRID_SEED = 5


@dataclass(frozen=True)
class Photographs:
    """One set: ``inputs`` uint8 ``(records, size, size, 3)``. Choices are made on ``validation``, claims on ``test``."""

    train: Records
    validation: Records
    test: Records

    @property
    def size(self) -> int:
        """Pixels of a side."""
        return int(self.train.inputs.shape[1])


def read(source: Source, folder: Path) -> Photographs:
    """Reads a set from its ``.npz``. Raises :class:`MissingFileError` where it is not there."""
    path = folder / FILES[source]
    if not path.exists():
        raise MissingFileError(f"{path.name} is not in {folder}; put the public file there")
    with np.load(path, allow_pickle=False) as arrays:
        parts = {
            part: _records(arrays[f"{part}_images"], arrays[f"{part}_labels"])
            for part in ("train", "val", "test")
            if f"{part}_images" in arrays
        }
    if "val" in parts:
        return Photographs(parts["train"], parts["val"], parts["test"])
    kept, held = train_test_split(
        np.arange(len(parts["train"])), test_size=_IDRID_VALIDATION, random_state=_IDRID_SEED, stratify=parts["train"].labels
    )
    train, held_out, test = parts["train"].take(np.sort(kept)), parts["train"].take(np.sort(held)), parts["test"]
    return Photographs(*(Records(halved(part.inputs), part.labels) for part in (train, held_out, test)))


def halved(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Every 2 × 2 pixels become their mean: ``(n, 2 h, 2 w, c)`` -> ``(n, h, w, c)``."""
    count, height, width, channels = images.shape
    blocks = images.reshape(count, height // 2, 2, width // 2, 2, channels).astype(np.uint16)
    return np.asarray((blocks.sum(axis=(2, 4)) + 2) // 4, np.uint8)


def _records(images: NDArray[np.uint8], labels: NDArray[np.integer]) -> Records:
    return Records(np.ascontiguousarray(images, np.uint8), labels.reshape(-1).astype(np.int64))


def synthetic(size: int = 12) -> Photographs:
    """Invented photographs that are brighter the higher the grade, for a quick trial without data."""
    random = np.random.default_rng(0)

    def part(count: int) -> Records:
        labels = random.integers(0, len(GRADES), count)
        images = random.integers(0, 120, (count, size, size, 3)) + 30 * labels[:, None, None, None]
        return Records(images.astype(np.uint8), labels.astype(np.int64))

    return Photographs(part(150), part(30), part(40))
