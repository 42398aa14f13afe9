"""Defects of four production lines, 23 classes, as small grey images: four public sets, none of which has a test split of its own.

- ``steel``: NEU-DET (Song & Yan 2013), 6 kinds of hot-rolled surface defect, 1,800 images
- ``boards``: DeepPCB (Tang et al. 2019), 6 kinds of circuit defect cut out of boards, 10,013 crops, of which a seeded 2,400 are used
- ``tiles``: magnetic tiles (Huang et al. 2018), 5 kinds of defect, 392 images; those without a defect are left out
- ``cells``: ELPV solar cells (Deitsch et al. 2019), 3 severities of defect × mono- or polycrystalline, 1,116 images; the same

A seeded third of each class is the test, crops of one board together; of the rest a seeded fifth is what a plant holds out between rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.data.records import Records, Split
from shared.data.seeds import generator
from shared.data.split import hold_out
from shared.errors import MissingFileError
from shared.task import Head, ImageTask

SIZE = 32
"""Pixels of a side, so that a seed takes minutes on one core."""
MOST_BOARDS = 2400
TEST, HELD_OUT = 1 / 3, 0.2
HEADS = (
    Head(name="steel", labels=("crazing", "inclusion", "patches", "pitted surface", "rolled-in scale", "scratches"), strategy="surface"),
    Head(name="boards", labels=("copper", "mousebite", "open", "pin-hole", "short", "spur"), strategy="structure"),
    Head(name="tiles", labels=("blowhole", "break", "crack", "fray", "uneven"), strategy="surface"),
    Head(
        name="cells",
        labels=tuple(f"{kind}, severity {severity}" for kind in ("mono", "poly") for severity in (1, 2, 3)),
        strategy="classes",
    ),
)
TASK = ImageTask(family="image", labels=tuple(label for head in HEADS for label in head.labels), heads=HEADS, size=SIZE, channels=1)


@dataclass(frozen=True)
class Defects:
    """One plant's records: uint8 ``images`` ``(n, side, side)``, int64 ``labels`` within its head, and ``groups`` that stay together."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]


@dataclass(frozen=True)
class Plant:
    """``site``: what the plant learns from and holds out between rounds; ``test``: what all students are graded on."""

    site: Split
    test: Records


def read(root: Path) -> dict[str, Defects]:
    """The four sets by the name of their head, from the folder of all benchmark data.

    Raises :class:`MissingFileError` where one is not there.
    """
    return {name: _read(root / path, find) for name, (path, find) in SOURCES.items()}


def plants(found: dict[str, Defects], seed: int) -> dict[str, Plant]:
    """Each plant's records of one seed, their labels those of :data:`TASK`."""
    starts = dict(zip(SOURCES, np.cumsum([0, *(len(head.labels) for head in HEADS)]).tolist(), strict=False))
    return {name: _plant(name, defects, starts[name], seed) for name, defects in found.items()}


def synthetic(count: int = 36) -> dict[str, Defects]:
    """Invented images, brighter in another place for each class, for a quick trial without data."""
    random = np.random.default_rng(0)

    def plant(classes: int) -> Defects:
        labels = np.arange(count) % classes
        images = random.integers(0, 120, (count, SIZE, SIZE))
        for place, label in enumerate(labels):
            images[place, 4 * label : 4 * label + 6] += 120
        return Defects(images.astype(np.uint8), labels.astype(np.int64), np.arange(count))

    return {head.name: plant(len(head.labels)) for head in HEADS}


def shrunk(images: NDArray[np.uint8], size: int = SIZE) -> NDArray[np.uint8]:
    """``(n, side, side)`` -> ``(n, size, size)``, each pixel the rounded mean of a square of pixels; ``size`` must divide ``side``."""
    step = images.shape[1] // size
    blocks = images.reshape(len(images), size, step, size, step).astype(np.uint32).sum(axis=(2, 4))
    return np.asarray((blocks + step**2 // 2) // step**2, np.uint8)


def grouped_test(labels: NDArray[np.int64], groups: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which records are the test, bool ``(n,)``: a third of the groups, of each class alike by their first record."""
    names, first = np.unique(groups, return_index=True)
    held = [
        rng.permutation(names[labels[first] == label])[: round(TEST * int((labels[first] == label).sum()))] for label in np.unique(labels)
    ]
    return np.isin(groups, np.concatenate(held))


def _plant(name: str, defects: Defects, start: int, seed: int) -> Plant:
    rng = generator(seed, "plants", name)
    rows = np.sort(rng.permutation(len(defects.labels))[:MOST_BOARDS])
    records = Records(np.ascontiguousarray(shrunk(defects.images[rows])[..., None]), defects.labels[rows] + start)
    test = grouped_test(defects.labels[rows], defects.groups[rows], rng)
    kept = records.take(np.flatnonzero(~test))
    return Plant(hold_out(kept, HELD_OUT, seed=seed, site=name), records.take(np.flatnonzero(test)))


def _read(path: Path, find: Callable[[Any], Defects]) -> Defects:
    if not path.exists():
        raise MissingFileError(f"{path.name} is not in {path.parent}; put the public set there")
    with np.load(path, allow_pickle=False) as arrays:
        return find(arrays)


def _steel(arrays: Any) -> Defects:
    return _ungrouped(arrays["images"], arrays["labels"])


def _boards(arrays: Any) -> Defects:
    boards = np.unique(arrays["image_id"], return_inverse=True)[1]
    return Defects(arrays["tested"], arrays["labels"].astype(np.int64), boards.astype(np.int64))


def _tiles(arrays: Any) -> Defects:
    classes, labels = arrays["classes"].tolist(), arrays["labels"].astype(np.int64)
    free = classes.index("MT_Free")
    kept = labels != free
    return _ungrouped(arrays["images"][kept], labels[kept] - (labels[kept] > free))


def _cells(arrays: Any) -> Defects:
    severity, poly = arrays["severity"].astype(np.int64), arrays["cell_type"] == "poly"
    kept = severity > 0
    return _ungrouped(arrays["images"][kept], 3 * poly[kept].astype(np.int64) + severity[kept] - 1)


def _ungrouped(images: NDArray[np.uint8], labels: NDArray[np.integer]) -> Defects:
    return Defects(images, labels.astype(np.int64), np.arange(len(labels)))


SOURCES: dict[str, tuple[str, Callable[[Any], Defects]]] = {
    "steel": ("neu_det/neu_cls_128.npz", _steel),
    "boards": ("deeppcb/deeppcb_crops_64.npz", _boards),
    "tiles": ("magnetic_tile/mtd_128.npz", _tiles),
    "cells": ("elpv/elpv_128.npz", _cells),
}
