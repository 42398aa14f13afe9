"""Proxy records, on which institutions answer in place of sending weights: public ones, read, or table rows that nobody has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.config import FederationConfig, GeneratedProxy, RecordsProxy
from shared.data.arrays import check_inputs, load_npz
from shared.data.csvfile import read_table
from shared.data.images import SUFFIXES, read_image
from shared.data.seeds import generator
from shared.data.table import to_inputs
from shared.data.text import read_tokeniser, to_tokens
from shared.errors import ConfigError, DataError, MissingFileError
from shared.sources import CsvData
from shared.task import ImageTask, TabularTask, Task, TextTask
from shared.work import Normalisation


def read_proxy(proxy: RecordsProxy, task: Task, tokenizer: Path | None = None) -> NDArray[Any]:
    """The public records of a federation in the task's raw form; what labels they have is not looked at.

    Raises :class:`DataError` and its kinds as the readers of records do, and :class:`ConfigError` for a kind of file that is none.
    """
    inputs = _read(proxy.path, task, tokenizer)
    if not len(inputs):
        raise DataError(f"{proxy.path} holds no proxy records; give it some")
    return inputs


def count_proxy(config: FederationConfig) -> int:
    """How many proxy records a federation has, 0 without [proxy]; public ones are read. Raises as :func:`read_proxy`."""
    match config.proxy:
        case RecordsProxy() as proxy:
            return len(read_proxy(proxy, config.task, config.tokenizer_path))
        case GeneratedProxy() as proxy:
            return proxy.records
        case None:
            return 0


def generated_proxy(task: TabularTask, normalisation: Normalisation, records: int, missing: float, *, seed: int) -> NDArray[np.float32]:
    """Rows that nobody has, ``float32 (records, columns)``: the same on both sides, from the seed and the masked statistics.

    A numeric column is drawn from the normal distribution with its mean and deviation, a categorical one evenly from its declared
    values, and each cell is missing with the probability ``missing``; all independently. Without any missing nobody would say
    what a missing cell means.
    """
    rows = np.empty((records, len(task.columns)), np.float32)
    numeric = dict(zip(task.numeric, zip(normalisation.means, normalisation.deviations, strict=True), strict=True))
    for position, column in enumerate(task.columns):
        draw = generator(seed, "proxy", position)
        if column.kind == "categorical":
            rows[:, position] = draw.integers(0, len(column.categories), records)
        else:
            mean, deviation = numeric[position]
            # Rounded to float32 at once: how a machine rounds the last bits of a float64 does not show.
            rows[:, position] = mean + deviation * draw.standard_normal(records)
        rows[generator(seed, "proxy", position, "missing").random(records) < missing, position] = np.nan
    return rows


def _read(path: Path, task: Task, tokenizer: Path | None) -> NDArray[Any]:
    if path.suffix == ".npz":
        arrays = load_npz(path)
        if "inputs" not in arrays:
            raise DataError(f"{path} has no array 'inputs'; a .npz of proxy records holds them under this name")
        return check_inputs(arrays["inputs"], task, f"{path}: 'inputs'")
    if isinstance(task, ImageTask):
        return _images(path, task)
    if path.suffix == ".csv":
        return _rows(path, task, tokenizer)
    raise ConfigError(f"{path} cannot be proxy records of a task of family '{task.family}'; give a .csv or a .npz file")


def _rows(path: Path, task: TabularTask | TextTask, tokenizer: Path | None) -> NDArray[Any]:
    data = CsvData(source="csv", path=path)
    table = read_table(data)
    if isinstance(task, TabularTask):
        return to_inputs(table, task, frozenset(data.missing))
    return to_tokens(table, task, read_tokeniser(task, tokenizer))[0]


def _images(path: Path, task: ImageTask) -> NDArray[np.uint8]:
    if not path.is_dir():
        raise MissingFileError(f"{path} is no folder of proxy images; give one, or a .npz file")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and not file.name.startswith("."))
    if not files:
        raise DataError(f"there are no PNG or JPEG images under {path}; give it some")
    return np.stack([read_image(file, task) for file in files])
