"""Arrays in a ``.npz`` file, in the task's raw form: what a simulated institution's folder holds. Nothing is unpickled."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.data.records import UNLABELLED, Records, Split
from shared.errors import DataError, LabelError, NotFiniteError
from shared.files import PRIVATE_MODE, read_bytes, write_atomic
from shared.task import CategoricalColumn, ImageTask, TabularTask, Task, TextTask

Arrays = Mapping[str, NDArray[Any]]
PARTS = ("", "test_")
NAMES = tuple(f"{part}{name}" for part in PARTS for name in ("inputs", "labels", "texts"))


def save_arrays(path: Path, split: Split) -> None:
    """Writes a split as ``inputs``, ``labels``, ``test_inputs`` and ``test_labels``, and texts, if it has them, beside.

    Records are private, and so is the file.
    """
    content = io.BytesIO()
    arrays: dict[str, NDArray[Any]] = {}
    for part, records in zip(PARTS, (split.train, split.test), strict=True):
        arrays |= {f"{part}inputs": records.inputs, f"{part}labels": records.labels}
        arrays |= {} if records.texts is None else {f"{part}texts": records.texts}
    np.savez_compressed(content, allow_pickle=False, **arrays)
    write_atomic(path, content.getvalue(), mode=PRIVATE_MODE)


def read_arrays(path: Path, task: Task, *, unlabelled: bool = False) -> Records | Split:
    """What a ``.npz`` file holds: a split if it has test arrays of its own, else records.

    With ``unlabelled`` the label -1 is allowed, but not of held-out records.

    Raises :class:`MissingFileError`, :class:`DataError` for a damaged file or a wrong shape or type,
    :class:`LabelError` for a label outside the task's, :class:`NotFiniteError` for an infinity.
    """
    arrays = load_npz(path)
    records = _records(path, arrays, task, "", UNLABELLED if unlabelled else 0)
    if "test_inputs" not in arrays and "test_labels" not in arrays:
        return records
    return Split(records, _records(path, arrays, task, "test_", 0))


def load_npz(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of :data:`NAMES` that a file holds, not yet checked against a task."""
    content = read_bytes(path, what="arrays")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            # A lone .npy array also loads, but has no names.
            return {name: np.asarray(file[name]) for name in NAMES if name in file.files}
    except (ValueError, KeyError, OSError, EOFError, AttributeError, TypeError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        raise DataError(f"{path} is damaged or is not a .npz file of plain arrays; write it again with numpy.savez") from None


def _records(path: Path, arrays: Arrays, task: Task, prefix: str, lowest: int) -> Records:
    for name in (f"{prefix}inputs", f"{prefix}labels"):
        if name not in arrays:
            raise DataError(f"{path} has no array '{name}'; a .npz of records holds inputs and labels")
    inputs, labels = arrays[f"{prefix}inputs"], arrays[f"{prefix}labels"]
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer) or inputs.ndim < 1 or len(inputs) != len(labels):
        raise DataError(f"{path}: '{prefix}labels' must be whole numbers, one for each of '{prefix}inputs'")
    if len(labels) and (labels.min() < lowest or labels.max() >= len(task.labels)):
        raise LabelError(f"{path}: '{prefix}labels' must lie in 0 to {len(task.labels) - 1}, the task's {len(task.labels)} labels")
    where = f"{path}: '{prefix}inputs'"
    return Records(check_inputs(inputs, task, where), labels.astype(np.int64), _texts(path, arrays, prefix))


def _texts(path: Path, arrays: Arrays, prefix: str) -> NDArray[np.str_] | None:
    texts = arrays.get(f"{prefix}texts")
    if texts is not None and (texts.dtype.kind != "U" or texts.shape != arrays[f"{prefix}labels"].shape):
        raise DataError(f"{path}: '{prefix}texts' must be strings, one for each of '{prefix}inputs'")
    return texts


def check_inputs(inputs: NDArray[Any], task: Task, where: str) -> NDArray[Any]:
    """Raw inputs as the task takes them; raises :class:`DataError` and its kinds, naming ``where``."""
    match task:
        case TabularTask():
            return check_rows(inputs, task, where)
        case ImageTask():
            return check_images(inputs, task, where)
        case TextTask():
            return check_tokens(inputs, task, where)


def check_tokens(inputs: NDArray[Any], task: TextTask, where: str) -> NDArray[np.int32]:
    """Token ids as the task takes them, filled up to ``max_tokens``; raises :class:`DataError` that names ``where``."""
    if inputs.ndim != 2 or not 1 <= inputs.shape[1] <= task.max_tokens or not np.issubdtype(inputs.dtype, np.integer):
        raise DataError(f"{where} must be whole numbers of shape (n, 1 to {task.max_tokens}), not {inputs.dtype} {inputs.shape}")
    if inputs.size and (inputs.min() < 0 or inputs.max() >= task.vocabulary):
        raise DataError(f"{where} must be token ids, 0 to {task.vocabulary - 1} (task.vocabulary)")
    ids = np.full((len(inputs), task.max_tokens), task.padding, np.int32)
    ids[:, : inputs.shape[1]] = inputs
    return ids


def check_images(inputs: NDArray[Any], task: ImageTask, where: str) -> NDArray[np.uint8]:
    """Images as the task takes them; raises :class:`DataError` that names ``where`` for another shape or type."""
    shape = (task.size, task.size, task.channels)
    if inputs.shape[1:] != shape or inputs.dtype != np.uint8:
        raise DataError(f"{where} must be uint8 of shape (n, {task.size}, {task.size}, {task.channels}), not {inputs.dtype} {inputs.shape}")
    return inputs


def check_rows(inputs: NDArray[Any], task: TabularTask, where: str) -> NDArray[np.float32]:
    """Table rows as the task takes them; raises :class:`DataError` or :class:`NotFiniteError` that names ``where``."""
    if inputs.ndim != 2 or inputs.shape[1] != len(task.columns) or not np.issubdtype(inputs.dtype, np.number):
        raise DataError(f"{where} must be numbers of shape (n, {len(task.columns)}), not {inputs.dtype} {inputs.shape}")
    with np.errstate(over="ignore"):
        rows = np.asarray(inputs.real, dtype=np.float32)
    for position, column in enumerate(task.columns):
        values = rows[:, position]
        if np.isinf(values).any():
            raise NotFiniteError(f"{where}, column '{column.name}' holds an infinity; a missing value is NaN")
        if isinstance(column, CategoricalColumn):
            known = values[~np.isnan(values)]
            if ((known < 0) | (known >= len(column.categories)) | (known != np.floor(known))).any():
                raise DataError(f"{where}, column '{column.name}' must hold category indices, 0 to {len(column.categories) - 1}, or NaN")
    return rows
