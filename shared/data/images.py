"""Folders of images, ``SITE/LABEL/*.png`` or ``LABEL/*.png``: found in a fixed order, brought to one size and depth."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from shared.data.naming import institution_name
from shared.data.records import Records
from shared.errors import DataError, EmptyInstitutionError, LabelError, MissingFileError
from shared.task import ImageTask

SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
_EIGHT_BIT = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB", "La", "RGBa"})


def subfolders(path: Path) -> tuple[Path, ...]:
    """The folders within ``path`` by name, hidden ones left out; raises :class:`MissingFileError` if it is no folder."""
    try:
        return tuple(sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")))
    except OSError as error:
        raise MissingFileError(f"cannot read the folder of images {path}: {error.strerror}; check the path") from error


def image_files(folder: Path) -> tuple[Path, ...]:
    """The PNG and JPEG files directly in ``folder``, by name, hidden ones left out."""
    return tuple(sorted(f for f in folder.iterdir() if f.is_file() and f.suffix.lower() in SUFFIXES and not f.name.startswith(".")))


def holds_labels(path: Path) -> bool:
    """Whether ``path`` is ``LABEL/*.png``, one pool, and not ``SITE/LABEL/*.png``. Raises :class:`MissingFileError`."""
    return any(image_files(folder) for folder in subfolders(path))


def read_image_folder(path: Path, task: ImageTask) -> Records:
    """The images of ``path/LABEL``: ``uint8 (n, size, size, channels)``.

    Raises :class:`MissingFileError`, :class:`LabelError` for a folder that is none of the labels,
    :class:`EmptyInstitutionError` if there is no image, and :class:`DataError` for a file that is none.
    """
    index = {label: position for position, label in enumerate(task.labels)}
    images, labels = [], []
    for folder in subfolders(path):
        if folder.name not in index:
            raise LabelError(f"the folder {folder} is none of the task's labels ({', '.join(task.labels)}); rename it or add the label")
        for file in image_files(folder):
            images.append(read_image(file, task))
            labels.append(index[folder.name])
    if not images:
        raise EmptyInstitutionError(f"there are no PNG or JPEG images under {path}; put them in one folder for each label")
    return Records(np.stack(images), np.array(labels, dtype=np.int64))


def read_image_sites(path: Path, task: ImageTask) -> dict[str, Records]:
    """The images of each ``path/SITE/LABEL``, by the institution's name. Raises as :func:`read_image_folder`."""
    named: dict[str, Path] = dict(_sites(path))
    if not named:
        raise EmptyInstitutionError(f"there are no folders in {path}; give one for each site, with one for each label inside")
    return {name: read_image_folder(folder, task) for name, folder in sorted(named.items())}


def _sites(path: Path) -> Iterator[tuple[str, Path]]:
    seen: dict[str, Path] = {}
    for folder in subfolders(path):
        name = institution_name(folder.name)
        if not name or name in seen:
            raise DataError(f"the folder {folder} gives its site no name of its own; use letters or digits that no other site has")
        seen[name] = folder
        yield name, folder


def read_image(file: Path, task: ImageTask) -> NDArray[np.uint8]:
    """One image, turned as its EXIF says and stretched to ``(size, size, channels)`` with antialiasing.

    Raises :class:`DataError` for a file that is damaged, too large to be safe, or deeper than 8 bits a channel.
    """
    try:
        with warnings.catch_warnings(), Image.open(file) as image:
            # An image of absurd size is an attack or a mistake; Pillow only warns of the smaller ones.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if image.mode not in _EIGHT_BIT:
                raise DataError(f"{file} has more than 8 bits a channel; convert it to 8 bits")
            plain = ImageOps.exif_transpose(image).convert("RGBA").convert("L" if task.channels == 1 else "RGB")
            sized = plain.resize((task.size, task.size), Image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{file} is damaged, too large or not an image; replace it or leave it out") from None
    return np.asarray(sized, dtype=np.uint8).reshape(task.size, task.size, task.channels)
