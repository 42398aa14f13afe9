"""Activation ranges without anyone's activations: two masked passes of counts, then the ranges that lose least.

Maxima cannot be summed; counts can. Pass 1 counts the values of each tensor by power of two, which bounds its range
(``choose_ranges``). Pass 2 counts them in equal bins of that range, from which ``clip_ranges`` takes the clipping with
the smallest mean-square error. Counts of parts add up to the counts of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from shared.compress import graph, runtime
from shared.compress.scope import scope
from shared.errors import ArtifactError
from shared.work import EXPONENTS, HISTOGRAM_BINS

GRID = 255
"""Steps of the 8-bit grid of activations."""
_BATCH = 64
_MOST_VALUES = 2**24
_LOWEST_EXPONENT = -32


def calibrated_tensors(content: bytes) -> tuple[str, ...]:
    """The tensors of a float graph that need a range, in the order in which all later counters hold them."""
    return scope(graph.parse(content)).tensors


def range_counts(content: bytes, tensors: Sequence[str], inputs: NDArray[Any], *, padding: int | None = None) -> NDArray[np.int64]:
    """Pass 1: int64 ``(len(tensors) * 2 * EXPONENTS,)``; of each tensor first its negative values by exponent, then the others.

    Bins as :data:`shared.work.EXPONENTS` says.
    ``padding`` of a text task keeps its activations out. Raises :class:`ArtifactError` where an activation is not finite.
    """
    counts = np.zeros((len(tensors), 2, EXPONENTS), np.int64)
    for values in _activations(content, tensors, inputs, padding):
        for index, name in enumerate(tensors):
            flat = values[name].ravel()
            exponents = np.clip(np.frexp(flat)[1] - 1 - _LOWEST_EXPONENT, 0, EXPONENTS - 1)
            exponents[flat == 0] = 0
            for sign, part in enumerate((exponents[flat < 0], exponents[flat >= 0])):
                counts[index, sign] += np.bincount(part, minlength=EXPONENTS)
    return counts.ravel()


def choose_ranges(tensors: Sequence[str], sums: NDArray[np.integer]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """From the summed pass 1: per tensor the lowest and highest value that pass 2 must cover, ``low <= 0 <= high``, low < high."""
    counts = np.asarray(sums).reshape(len(tensors), 2, EXPONENTS)
    bounds = np.array([[_bound(counts[index, sign]) for sign in (0, 1)] for index in range(len(tensors))]).reshape(-1, 2)
    lows, highs = -bounds[:, 0], np.maximum(bounds[:, 1], 2.0**_LOWEST_EXPONENT)
    return tuple(map(float, lows)), tuple(map(float, highs))


def histogram_counts(
    content: bytes,
    tensors: Sequence[str],
    lows: Sequence[float],
    highs: Sequence[float],
    inputs: NDArray[Any],
    *,
    padding: int | None = None,
) -> NDArray[np.int64]:
    """Pass 2: int64 ``(len(tensors) * HISTOGRAM_BINS,)`` over the agreed ranges; values beyond fall in the end bins.

    Exact zeros are not counted: zero is on every grid and costs nothing, and after a Relu it would drown the rest.
    Raises :class:`ArtifactError` for a range that is none or an activation that is not finite.
    """
    if not all(np.isfinite([low, high]).all() and low < high for low, high in zip(lows, highs, strict=True)):
        raise ArtifactError("a range to count in is empty or not finite; the ranges of pass 1 must be agreed on first")
    counts = np.zeros((len(tensors), HISTOGRAM_BINS), np.int64)
    for values in _activations(content, tensors, inputs, padding):
        for index, name in enumerate(tensors):
            flat = values[name].ravel().astype(np.float64)
            flat = flat[flat != 0]
            bins = np.floor((flat - lows[index]) * (HISTOGRAM_BINS / (highs[index] - lows[index])))
            counts[index] += np.bincount(np.clip(bins, 0, HISTOGRAM_BINS - 1).astype(np.int64), minlength=HISTOGRAM_BINS)
    return counts.ravel()


def clip_ranges(
    tensors: Sequence[str], lows: Sequence[float], highs: Sequence[float], sums: NDArray[np.integer]
) -> dict[str, tuple[float, float]]:
    """From the summed pass 2: per tensor the range whose 8-bit grid has the smallest mean-square error; zero is always in it."""
    counts = np.asarray(sums).reshape(len(tensors), HISTOGRAM_BINS)
    return {name: _clip(counts[index], lows[index], highs[index]) for index, name in enumerate(tensors)}


def ranges_of(content: bytes, inputs: NDArray[Any], *, padding: int | None = None) -> dict[str, tuple[float, float]]:
    """Both passes over the records of one place, as a federation of one agrees on them: the range of every tensor that needs one."""
    tensors = calibrated_tensors(content)
    lows, highs = choose_ranges(tensors, range_counts(content, tensors, inputs, padding=padding))
    return clip_ranges(tensors, lows, highs, histogram_counts(content, tensors, lows, highs, inputs, padding=padding))


def _clip(counts: NDArray[np.integer], low: float, high: float) -> tuple[float, float]:
    used = np.flatnonzero(counts)
    if not len(used):
        return min(low, 0.0), max(high, 0.0)
    edges = np.linspace(low, high, HISTOGRAM_BINS + 1)
    centres, weights = (edges[:-1] + edges[1:]) / 2, counts.astype(np.float64)
    first, last = min(edges[used[0]], 0.0), max(edges[used[-1] + 1], 0.0)
    # The two ends are searched in turn until neither moves: their errors meet only in the width of the grid's step.
    best = (float(first), float(last))
    for _ in range(4):
        before = best
        best = (_best_end([low for low in edges if first <= low <= 0] or [first], best[1], 0, centres, weights), best[1])
        best = (best[0], _best_end([high for high in edges if 0 <= high <= last] or [last], best[0], 1, centres, weights))
        if best == before:
            break
    return best


def _best_end(candidates: Sequence[float], other: float, which: int, centres: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    ends = np.asarray(candidates, np.float64)
    fixed = np.full_like(ends, other)
    lows, highs = (ends, fixed) if which == 0 else (fixed, ends)
    clipped = np.clip(centres[None, :], lows[:, None], highs[:, None]) - centres[None, :]
    steps = (highs - lows) / GRID
    errors = (weights * np.where(clipped == 0, steps[:, None] ** 2 / 12, clipped**2)).sum(axis=1)
    errors[highs <= lows] = np.inf
    return float(ends[int(np.argmin(errors))])


def _bound(counts: NDArray[np.integer]) -> float:
    used = np.flatnonzero(counts)
    return 2.0 ** (int(used[-1]) + 1 + _LOWEST_EXPONENT) if len(used) else 0.0


def _equally_long(inputs: NDArray[Any], padding: int | None) -> Iterator[NDArray[Any]]:
    # Texts go by length, without any padding: most of a batch would be padding, and the ranges those of its activations.
    if padding is None or not len(inputs):
        yield inputs
        return
    lengths = np.maximum(inputs.shape[1] - (inputs != padding)[:, ::-1].argmax(axis=1), 1)
    lengths[(inputs == padding).all(axis=1)] = 1
    for length in np.unique(lengths):
        yield np.ascontiguousarray(inputs[lengths == length, :length])


def _activations(content: bytes, tensors: Sequence[str], inputs: NDArray[Any], padding: int | None) -> Iterator[Mapping[str, NDArray[Any]]]:
    model = graph.parse(content)
    given, ends = model.graph.input[0].name, {value.name for value in model.graph.output}
    inner = list(dict.fromkeys((*(name for name in tensors if name != given), "logits")))
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inner if name not in ends)
    loaded = runtime.session(model.SerializeToString(), exact=True)
    for part in _equally_long(inputs, padding):
        yield from _activations_of(part, loaded, given, inner, tensors)


def _activations_of(
    inputs: NDArray[Any], loaded: Any, given: str, inner: list[str], tensors: Sequence[str]
) -> Iterator[Mapping[str, NDArray[Any]]]:
    start, size = 0, 1
    while start < len(inputs):
        batch = inputs[start : start + size]
        found = {given: batch} | dict(zip(inner, loaded.run(inner, {given: batch}), strict=True))
        start += size
        # The first record alone tells how many fit into memory together.
        size = max(1, min(_BATCH, _MOST_VALUES * len(batch) // sum(values.size for values in found.values())))
        if not all(np.isfinite(found[name]).all() for name in tensors):
            raise ArtifactError("an activation of the student is not finite on the calibration records; the student must not be compressed")
        yield found
