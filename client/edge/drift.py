"""What a model has been given, beside what it learnt from: running statistics of every input, to notice that the world has moved.

Of tables: count, mean and deviation of each numeric column, the share of its values that are missing, and the shares of categories.
Of images: mean and deviation of each channel over all pixels. Of texts: mean and deviation of the number of tokens. Where the
manifest has the training's means and deviations (``inputs_seen``), a mean also has its distance from there in training deviations.
Only sums are kept, and they are shown in steps of at least :data:`BLOCK` records: neither one look nor the difference of two tells
what a single record held.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 256
"""Records by which what is shown grows, at least."""
PENDING_ROWS, PENDING_BYTES = 256, 2**16
"""Rows and bytes that are gathered and counted at once: numpy costs the same for one row as for many, and more bytes would keep those
who wait for an answer waiting."""


@dataclass(frozen=True)
class InputSeen:
    """One input so far. ``count``: values that were there; ``mean_difference``: (mean - training mean) / training deviation. None where
    there is no such figure: of categories, before the first value, or where the manifest says nothing of the training."""

    name: str
    count: int
    missing_share: float
    mean: float | None = None
    deviation: float | None = None
    mean_difference: float | None = None
    category_shares: Mapping[str, float] = field(default_factory=dict)


class Moments:
    """Count, mean and squared deviations of several series at once, merged batch by batch (Chan, Golub & LeVeque 1979)."""

    def __init__(self, series: int) -> None:
        self.count = np.zeros(series)
        self.mean = np.zeros(series)
        self._squares = np.zeros(series)

    def add(self, values: NDArray[np.float64]) -> None:
        """Adds ``(n, series)`` values; NaN counts as missing and not as a value."""
        there = ~np.isnan(values)
        count = there.sum(axis=0).astype(np.float64)
        mean = np.where(there, values, 0.0).sum(axis=0) / np.maximum(count, 1.0)
        self._merge(count, mean, np.where(there, (values - mean) ** 2, 0.0).sum(axis=0))

    def add_pixels(self, pixels: NDArray[np.uint8]) -> None:
        """Adds all pixels ``(..., series)`` of images, by whole numbers: a twentieth of the time, and nothing is rounded on the way."""
        channels = [pixels[..., series] for series in range(pixels.shape[-1])]
        count = float(channels[0].size)
        sums = np.array([one.sum(dtype=np.int64) for one in channels], np.float64)
        squares = np.array([np.square(one, dtype=np.uint16).sum(dtype=np.int64) for one in channels], np.float64)
        self._merge(np.full(len(channels), count), sums / max(count, 1.0), np.maximum(squares - sums**2 / max(count, 1.0), 0.0))

    def _merge(self, count: NDArray[np.float64], mean: NDArray[np.float64], squares: NDArray[np.float64]) -> None:
        total = np.maximum(self.count + count, 1.0)
        delta = mean - self.mean
        self._squares += squares + delta**2 * self.count * count / total
        self.mean += delta * count / total
        self.count += count

    @property
    def deviation(self) -> NDArray[np.float64]:
        """The population's standard deviation of each series; 0 where it has no values."""
        return np.asarray(np.sqrt(self._squares / np.maximum(self.count, 1.0)))


class Drift:
    """The inputs of one model's task since it serves. Rows may be added from one thread and read from another."""

    def __init__(self, manifest: Mapping[str, Any], block: int = BLOCK) -> None:
        task = manifest["task"]
        self._task = task
        seen = manifest.get("inputs_seen") or {}
        self._trained = list(zip(seen.get("means", ()), seen.get("deviations", ()), strict=False))
        self._names = _numeric_names(task)
        self._moments = Moments(len(self._names))
        self._categories = [
            (position, column["name"], np.zeros(len(column["categories"]), np.int64), tuple(column["categories"]))
            for position, column in enumerate(task.get("columns", ()))
            if column["kind"] == "categorical"
        ]
        self._rows = 0
        self._pending: list[NDArray[Any]] = []
        self._pending_rows = self._pending_bytes = 0
        self._lock = threading.Lock()
        self._block, self._shown_rows = block, 0
        self._shown = self._figures()

    def add(self, inputs: NDArray[Any]) -> None:
        """Notes raw records of the task: the array that the model was given."""
        with self._lock:
            self._pending.append(inputs)
            self._pending_rows += len(inputs)
            self._pending_bytes += inputs.nbytes
            due = self._rows + self._pending_rows >= self._shown_rows + self._block
            if due or self._pending_rows >= PENDING_ROWS or self._pending_bytes >= PENDING_BYTES:
                self._count()
            if due:
                self._shown, self._shown_rows = self._figures(), self._rows

    def seen(self) -> list[InputSeen]:
        """The figures of each input as of the last whole block: numeric ones in the order of the task, then categories."""
        return self._shown

    def _figures(self) -> list[InputSeen]:
        numeric = [self._numeric(index) for index in range(len(self._names))]
        return numeric + [self._category(name, counts, labels) for _, name, counts, labels in self._categories]

    def _count(self) -> None:
        for inputs in _alike(self._pending):
            if self._task["family"] == "image":
                self._moments.add_pixels(inputs)
            else:
                self._moments.add(_series(self._task, inputs))
            self._rows += len(inputs)
            for position, _, counts, _ in self._categories:
                column = inputs[:, position]
                there = column[~np.isnan(column)].astype(np.int64)
                counts += np.bincount(there, minlength=len(counts))
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0

    def _numeric(self, index: int) -> InputSeen:
        name, rows = self._names[index], max(self._rows, 1)
        count = round(self._moments.count[index] / _values_a_row(self._task))
        if not count:
            return InputSeen(name, 0, float(self._rows > 0))
        mean, deviation = float(self._moments.mean[index]), float(self._moments.deviation[index])
        difference = None
        if index < len(self._trained):
            difference = (mean - self._trained[index][0]) / self._trained[index][1]
        return InputSeen(name, count, 1.0 - count / rows, mean, deviation, difference)

    def _category(self, name: str, counts: NDArray[np.int64], labels: Sequence[str]) -> InputSeen:
        count = int(counts.sum())
        shares = {label: float(number / max(count, 1)) for label, number in zip(labels, counts, strict=True)}
        return InputSeen(name, count, 1.0 - count / self._rows if self._rows else 0.0, category_shares=shares)


def _alike(pending: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Arrays whose rows have one shape as one array each; texts may come in several lengths."""
    shapes: dict[tuple[int, ...], list[NDArray[Any]]] = {}
    for inputs in pending:
        shapes.setdefault(inputs.shape[1:], []).append(inputs)
    return [np.concatenate(rows) for rows in shapes.values()]


def _numeric_names(task: Mapping[str, Any]) -> list[str]:
    if task["family"] == "tabular":
        return [column["name"] for column in task["columns"] if column["kind"] == "numeric"]
    if task["family"] == "image":
        return [f"channel {number}" for number in range(task["channels"])]
    return ["tokens"]


def _series(task: Mapping[str, Any], inputs: NDArray[Any]) -> NDArray[np.float64]:
    if task["family"] == "tabular":
        numeric = [position for position, column in enumerate(task["columns"]) if column["kind"] == "numeric"]
        return np.asarray(inputs[:, numeric], np.float64)
    return np.asarray((inputs != task["padding"]).sum(axis=1, keepdims=True), np.float64)


def _values_a_row(task: Mapping[str, Any]) -> int:
    return int(task["size"]) ** 2 if task["family"] == "image" else 1
