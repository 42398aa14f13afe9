"""Mean and deviation of numeric inputs from sums of whole numbers, so that they can be learnt under a mask.

Two passes. First every numeric column is counted into powers of two, which gives the scale ``2^e``; then the sums of
``x / 2^e + 1`` and ``(x / 2^e)²``, both within 0 and 2 and rounded to whole :data:`UNITS` for each record. All counters
are non-negative and integers, so counters of parts add up exactly to those of the whole. Images need no first pass:
a pixel is below ``2^8``, and each image counts once, by the means over its pixels of the same two figures. Texts have
no numeric input: their counters are empty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from shared.data.records import Records
from shared.errors import DataError
from shared.task import ImageTask, TabularTask, Task, TextTask, numeric_inputs
from shared.work import EXPONENTS, FIXED_POINT, Normalisation

Counters = NDArray[np.int64]

UNITS = FIXED_POINT**2
"""Whole numbers in 1.0 of a scaled value: 2^32. A 63-bit sum holds 2^30 records; 2^16 would be too coarse for the
deviation of a column such as a year, which is small beside its mean."""
LOWEST = -32
"""Bin ``i`` takes |x| in [2^(i + LOWEST), 2^(i + LOWEST + 1))."""
IMAGE_EXPONENT = 8
SMALLEST_DEVIATION = 2.0**-15
"""Of the scale; below it, rounding to :data:`UNITS` cannot be told from spread, and the column counts as constant."""


def exponent_counts(task: Task, records: Records) -> Counters:
    """How many values of each numeric column lie in each power-of-two bin of |x|: ``int64 (columns * 64,)``.

    NaN is not counted. Zero and what is below 2^-31 go to bin 0, what is 2^31 and above to bin 63. For an image every
    channel counts once in the bin below ``2^8``, whatever its pixels.
    """
    if task.family == "image":
        counts = np.zeros((task.channels, EXPONENTS), dtype=np.int64)
        counts[:, IMAGE_EXPONENT - LOWEST - 1] = len(records)
        return counts.reshape(-1)
    if task.family == "text":
        return np.zeros(0, dtype=np.int64)
    counts = np.zeros((len(task.numeric), EXPONENTS), dtype=np.int64)
    for row, values in zip(counts, _numeric(task, records), strict=True):
        # frexp: x = m * 2^e with m in [0.5, 1), so |x| lies in [2^(e - 1), 2^e).
        exponents = np.frexp(np.abs(values[~np.isnan(values)]))[1]
        bins = np.where(values[~np.isnan(values)] == 0, 0, np.clip(exponents - 1 - LOWEST, 0, EXPONENTS - 1))
        row += np.bincount(bins, minlength=EXPONENTS)
    return counts.reshape(-1)


def choose_exponents(task: Task, sums: NDArray[np.int64]) -> tuple[int, ...]:
    """For each numeric column the smallest ``e`` with |x| < 2^e for every counted value; 0 for a column without values.

    Images: 8 for each channel. ``sums`` is the sum of :func:`exponent_counts`. Values of 2^32 and above will be clipped.
    """
    if task.family == "image":
        return (IMAGE_EXPONENT,) * task.channels
    return tuple(_exponent(row) for row in np.asarray(sums).reshape(numeric_inputs(task), EXPONENTS))


def _exponent(row: NDArray[np.int64]) -> int:
    filled = np.flatnonzero(row)
    return int(filled[-1]) + LOWEST + 1 if len(filled) else 0


def moment_counts(task: Task, records: Records, exponents: Sequence[int]) -> dict[str, Counters]:
    """Per numeric column (images: channel) ``count``, ``sum`` of x / 2^e + 1 and ``square_sum`` of (x / 2^e)², in units.

    Each is ``int64 (columns,)``. NaN is not counted; |x| is clipped to 2^e. Images: count is the number of images, the
    sums are over images of the means over each image's pixels. Raises :class:`DataError` if ``exponents`` do not fit.
    """
    if len(exponents) != numeric_inputs(task):
        raise DataError(f"{len(exponents)} exponents do not fit the task's numeric inputs; coordinator and institution differ in task")
    table = np.array(_moments(task, records, exponents), dtype=np.int64).reshape(-1, 3)
    return {"count": table[:, 0].copy(), "sum": table[:, 1].copy(), "square_sum": table[:, 2].copy()}


def _moments(task: Task, records: Records, exponents: Sequence[int]) -> list[tuple[int, int, int]]:
    match task:
        case TabularTask():
            return _table_moments(task, records, exponents)
        case ImageTask():
            return _image_moments(task, records, exponents)
        case TextTask():
            return []


def _table_moments(task: TabularTask, records: Records, exponents: Sequence[int]) -> list[tuple[int, int, int]]:
    columns = []
    for values, exponent in zip(_numeric(task, records), exponents, strict=True):
        scaled = np.clip(np.ldexp(values[~np.isnan(values)], -exponent), -1.0, 1.0)
        columns.append((len(scaled), _units(scaled + 1), _units(scaled**2)))
    return columns


def _image_moments(task: ImageTask, records: Records, exponents: Sequence[int]) -> list[tuple[int, int, int]]:
    columns = []
    for channel, exponent in enumerate(exponents):
        # Whole numbers until the mean over pixels: exact whatever the size of the image.
        pixels = records.inputs[..., channel].astype(np.int64)
        means = np.ldexp(pixels.sum(axis=(1, 2)) / task.size**2, -exponent)
        squares = np.ldexp((pixels**2).sum(axis=(1, 2)) / task.size**2, -2 * exponent)
        columns.append((len(records), _units(np.minimum(means, 1.0) + 1), _units(np.minimum(squares, 1.0))))
    return columns


def _units(values: NDArray[np.float64]) -> int:
    # Rounded for each record, not for the sum: only so do the parts of a federation add up exactly.
    return int(np.rint(values * UNITS).astype(np.int64).sum())


def normalisation(task: Task, sums: Mapping[str, NDArray[np.int64]], exponents: Sequence[int]) -> Normalisation:
    """Mean and (population) deviation of each numeric column, or channel, in raw units, from summed :func:`moment_counts`.

    A column without values has mean 0; it and a constant column have a deviation of max(2^e, 1), so that a value never
    seen in training cannot blow up. Raises :class:`DataError` for sums that no records can have.
    """
    columns = [_mean_and_deviation(*figures) for figures in _checked(task, sums, exponents)]
    return Normalisation(means=tuple(mean for mean, _ in columns), deviations=tuple(deviation for _, deviation in columns))


def _checked(task: Task, sums: Mapping[str, NDArray[np.int64]], exponents: Sequence[int]) -> list[tuple[int, int, int, int]]:
    expected = numeric_inputs(task)
    figures = [np.asarray(sums[name]).reshape(-1).tolist() for name in ("count", "sum", "square_sum")]
    if any(len(values) != expected for values in (*figures, exponents)):
        raise DataError(f"statistics do not fit the task's {expected} numeric inputs; coordinator and institutions differ in task")
    columns = list(zip(*figures, exponents, strict=True))
    for count, total, squares, _ in columns:
        if not (0 <= total <= 2 * UNITS * count and 0 <= squares <= UNITS * count):
            raise DataError("the summed statistics are such as no records can have; an institution counts wrongly")
    return columns


def _mean_and_deviation(count: int, total: int, squares: int, exponent: int) -> tuple[float, float]:
    # In whole numbers up to the last division, for the difference of two large sums must not cancel.
    scale = math.ldexp(1.0, exponent)
    if count == 0:
        return 0.0, max(scale, 1.0)
    centred = total - count * UNITS
    variance = (squares * count * UNITS - centred**2) / (count * UNITS) ** 2
    deviation = math.sqrt(max(variance, 0.0))
    return centred / (count * UNITS) * scale, deviation * scale if deviation > SMALLEST_DEVIATION else max(scale, 1.0)


def _numeric(task: TabularTask, records: Records) -> list[NDArray[np.float64]]:
    return [records.inputs[:, position].astype(np.float64) for position in task.numeric]
