"""A first guess of the task that data of one's own are for; ``fedstill init`` writes it down for a person to read."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median_low
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from shared.data.arrays import load_npz
from shared.data.csvfile import read_table
from shared.data.images import holds_labels, image_files, subfolders
from shared.data.load import builtin_task
from shared.data.table import Table, to_number
from shared.errors import DataError, LabelError, MissingColumnError
from shared.sources import ArrayData, BuiltinData, CsvData, DataSource, ImageFolderData
from shared.task import CategoricalColumn, Column, ImageTask, NumericColumn, TabularTask, Task, TextTask
from shared.tokenise import Tokeniser

MOST_CATEGORIES = 64
"""Text of more kinds than this is taken for a name or a note, not for a category."""
SAMPLED_IMAGES = 64
SIZES = (8, 16, 32, 64, 128)
LENGTHS = (16, 32, 64, 128, 256, 512)
MOST_CUT = 0.05


def infer_task(data: DataSource, label: str) -> Task:
    """The task that the data suggest. ``label`` is the label's column (tables); images have their folders' names.

    For texts see :func:`infer_text_task`.

    A CSV column is numeric if every value that is not missing is a number, else a category. Left out are columns that
    cannot help: without any value, a count or an id of the rows, or text of more than :data:`MOST_CATEGORIES` kinds.
    Raises :class:`MissingFileError`, :class:`MissingColumnError`, :class:`LabelError` where labels make no sense,
    and :class:`DataError` for what cannot be read.
    """
    match data:
        case BuiltinData():
            return builtin_task(data.source)
        case CsvData():
            return _csv_task(data, label)
        case ImageFolderData():
            return _image_task(data.path)
        case ArrayData():
            return _array_task(data.path, label)


def infer_text_task(data: CsvData, text: str, label: str, tokeniser: Tokeniser) -> TextTask:
    """The task of a CSV file with texts in the column ``text``, as ``tokeniser`` splits them.

    ``max_tokens`` is the least of :data:`LENGTHS` that cuts off at most a twentieth of the texts. A tokeniser that has no
    token for padding gets one id more. Raises as :func:`infer_task` does.
    """
    table = read_table(data)
    if data.site_column is not None:
        table.column(data.site_column)
    labels = _csv_labels(table, label, frozenset(data.missing) if data.unlabelled else frozenset())
    lengths = tokeniser.lengths([content for _, content in table.cells(text)])
    padding = tokeniser.vocabulary if tokeniser.padding is None else tokeniser.padding
    return TextTask(
        family="text",
        text=text,
        label=label,
        labels=labels,
        tokenizer_sha256=tokeniser.digest,
        vocabulary=max(tokeniser.vocabulary, padding + 1),
        padding=padding,
        max_tokens=next((most for most in LENGTHS if (lengths > most).mean() <= MOST_CUT), LENGTHS[-1]),
    )


def _csv_task(data: CsvData, label: str) -> TabularTask:
    table = read_table(data)
    missing = frozenset(data.missing)
    if data.site_column is not None:
        table.column(data.site_column)
    labels = _csv_labels(table, label, missing if data.unlabelled else frozenset())
    names = [name for name in table.header if name not in (label, data.site_column)]
    columns = tuple(column for name in names if (column := _column(name, table, missing)) is not None)
    if not columns:
        raise MissingColumnError(f"{data.path} has no column to predict '{label}' from; give numbers or categories beside it")
    return TabularTask(family="tabular", label=label, labels=labels, columns=columns)


def _csv_labels(table: Table, label: str, none: frozenset[str]) -> tuple[str, ...]:
    labels = _in_order({text for _, text in table.cells(label)} - none)
    if not 2 <= len(labels) <= max(2, len(table.rows) // 2):
        raise LabelError(
            f"{table.path}, column '{label}' has {len(labels)} different values in {len(table.rows)} rows; "
            f"a label needs at least 2, and several rows of each: choose another column"
        )
    if "" in labels:
        raise LabelError(f"{table.path}, column '{label}' is empty in some rows; fill them in or leave them out")
    return labels


def _column(name: str, table: Table, missing: frozenset[str]) -> Column | None:
    texts = [text for _, text in table.cells(name) if text not in missing]
    numbers = [to_number(text) for text in texts]
    if not texts or not name:
        return None
    if None not in numbers:
        return None if _identifies_rows(name, [number or 0.0 for number in numbers]) else NumericColumn(name=name)
    categories = _in_order(set(texts))
    return CategoricalColumn(kind="categorical", name=name, categories=categories) if len(categories) <= MOST_CATEGORIES else None


def _identifies_rows(name: str, numbers: Sequence[float]) -> bool:
    # A count of the rows from 0 or 1, or what calls itself an id and never comes twice: it says nothing of the next row.
    if len(numbers) <= 2 or len(set(numbers)) < len(numbers):
        return False
    counts = any(all(number == start + row for row, number in enumerate(numbers)) for start in (0, 1))
    return counts or re.fullmatch(r"(.*[_ -])?id", name.lower()) is not None


def _in_order(texts: set[str]) -> tuple[str, ...]:
    # 2 before 10 where all are numbers, else by the alphabet.
    numbers = {text: to_number(text) for text in texts}
    if all(number is not None and math.isfinite(number) for number in numbers.values()):
        return tuple(sorted(texts, key=lambda text: (numbers[text] or 0.0, text)))
    return tuple(sorted(texts))


def _image_task(path: Path) -> ImageTask:
    folders = list(_label_folders(path))
    labels = _in_order({folder.name for folder in folders})
    files = sorted({file for folder in folders for file in image_files(folder)})
    if len(labels) < 2:
        raise LabelError(f"{path} has {len(labels)} folders of PNG or JPEG images; give one for each of at least 2 labels")
    size, channels = _image_form(files)
    return ImageTask(family="image", labels=labels, size=size, channels=channels)


def _label_folders(path: Path) -> Iterator[Path]:
    # LABEL/*.png where the first level holds images, else SITE/LABEL/*.png.
    if holds_labels(path):
        yield from subfolders(path)
        return
    for site in subfolders(path):
        yield from (folder for folder in subfolders(site) if image_files(folder))


def _image_form(files: Sequence[Path]) -> tuple[int, Literal[1, 3]]:
    sides, grey = [], True
    for file in files[:: max(1, len(files) // SAMPLED_IMAGES)]:
        try:
            with Image.open(file) as image:
                sides.append(min(image.size))
                grey = grey and image.mode in ("1", "L", "LA")
        except (UnidentifiedImageError, OSError):
            raise DataError(f"{file} is damaged or not an image; replace it or leave it out") from None
    fitting = [size for size in SIZES if size <= median_low(sides)]
    return (fitting[-1] if fitting else SIZES[0]), 1 if grey else 3


def _array_task(path: Path, label: str) -> Task:
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    contents = [load_npz(file) for file in files]
    if not contents or any("inputs" not in arrays or "labels" not in arrays for arrays in contents):
        raise DataError(f"{path} has no arrays 'inputs' and 'labels'; a .npz of records holds both")
    largest = max((int(arrays["labels"].max()) for arrays in contents if arrays["labels"].size), default=0)
    labels = tuple(str(number) for number in range(max(largest, 1) + 1))
    inputs = contents[0]["inputs"]
    if inputs.ndim == 2:
        names = (f"column-{number}" for number in range(1, inputs.shape[1] + 1))
        return TabularTask(family="tabular", label=label, labels=labels, columns=tuple(NumericColumn(name=name) for name in names))
    if inputs.ndim != 4 or inputs.dtype != np.uint8 or inputs.shape[1] != inputs.shape[2] or inputs.shape[3] not in (1, 3):
        raise DataError(f"{path}: 'inputs' must be numbers (n, columns) or uint8 images (n, size, size, 1 or 3)")
    return ImageTask(family="image", labels=labels, size=inputs.shape[1], channels=1 if inputs.shape[3] == 1 else 3)
