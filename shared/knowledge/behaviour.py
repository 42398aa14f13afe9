"""How the entities of a stream of transactions have behaved until each of them: figures that an institution computes on site.

Everything is counted over a few windows, not since the stream began. A running total grows with time and means another thing next month;
a window means the same, so what is learnt from it holds for a fraud wave of a kind that was never seen. Labels are never read, and a
row knows the rows before it alone: those of an earlier time, and of the same time those that stand before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from shared.errors import KnowledgeError
from shared.knowledge.transactions import COLUMNS, TransactionGraph

RECENT = 20
"""The transactions of an entity, at most, over which new partners and the usual amount are taken."""
PARTNERS = {"source": "target", "target": "source", "location": "source", "kind": "source"}
"""Whom an entity meets for the first time: who pays whom, and who comes to a place or does a kind of thing."""


@dataclass(frozen=True)
class Behaviour:
    """``values``: float32 ``(transactions, names)``, NaN where nothing can be said: the entity is missing, or new."""

    names: tuple[str, ...]
    values: NDArray[np.float32]

    def take(self, names: Sequence[str]) -> NDArray[np.float32]:
        """The columns ``names`` ``(transactions, len(names))``. Raises :class:`KnowledgeError` for one that is not there."""
        missing = next((name for name in names if name not in self.names), None)
        if missing is not None:
            raise KnowledgeError(f"there is no figure '{missing}' of behaviour; there are {', '.join(self.names)}")
        return self.values[:, [self.names.index(name) for name in names]]


def behaviour(
    found: TransactionGraph, amounts: NDArray[np.floating], windows: Sequence[int], pairs: Sequence[tuple[str, str]] = ()
) -> Behaviour:
    """For each role of :data:`COLUMNS` and each of ``pairs`` of roles, of the transaction's own entity (``x``: the role, or ``a+b``):

    - ``x.total``: earlier transactions; ``x.in1000``: those within the last 1000 units of time, for each of ``windows``
    - ``x.gap``: units of time since the last one
    - ``x.same``: earlier ones of the very same amount within the longest window

    and of a role alone, over its :data:`RECENT` earlier transactions:

    - ``x.new``: ``(n + 1) / (k + 2)``, where n of k were with a partner (:data:`PARTNERS`) that it had not met before
    - ``x.deviation``: log(1 + amount) less their mean

    Counts and gaps are given as log(1 + count). ``amounts`` ``(transactions,)``: at least 0.

    Raises :class:`KnowledgeError` for windows that do not rise from 1, negative amounts and another number of them.
    """
    _check(found, amounts, windows)
    order = np.argsort(found.times, kind="stable")
    times, logs = found.times[order], np.log1p(amounts[order].astype(np.float64))
    entities = {role: found.entities[order, place] for place, role in enumerate(COLUMNS)}
    prices = np.unique(logs, return_inverse=True)[1].astype(np.int64)
    columns: dict[str, NDArray[np.float64]] = {}
    for name, keys in [*entities.items(), *((f"{a}+{b}", joint(entities[a], entities[b])) for a, b in pairs)]:
        history = History(keys, times)
        columns[f"{name}.total"] = np.log1p(history.earlier())
        columns |= {f"{name}.in{window}": np.log1p(history.earlier(window)) for window in windows}
        columns[f"{name}.gap"] = np.log1p(history.gap())
        columns[f"{name}.same"] = np.log1p(History(joint(keys, prices), times).earlier(windows[-1]))
        if name in PARTNERS:
            columns[f"{name}.new"] = history.share(first_times(joint(keys, entities[PARTNERS[name]])))
            columns[f"{name}.deviation"] = logs - history.mean(logs)
    values = np.empty((len(order), len(columns)), dtype=np.float32)
    values[order] = np.column_stack(list(columns.values()))
    return Behaviour(tuple(columns), values)


class History:
    """The earlier rows of each row's key. ``keys`` int64 ``(rows,)``, negative: none; ``times`` int64 ``(rows,)``, not falling."""

    def __init__(self, keys: NDArray[np.int64], times: NDArray[np.int64]) -> None:
        self._by = np.argsort(keys, kind="stable")
        ordered = keys[self._by]
        self._missing = ordered < 0
        self._keys, self._times = np.cumsum(np.diff(ordered, prepend=ordered[:1]) != 0), times[self._by] - times[0]
        self._rows = np.arange(len(keys))
        self._starts = np.searchsorted(self._keys, self._keys)

    def earlier(self, window: int | None = None) -> NDArray[np.float64]:
        """How many ``(rows,)``, all or those at most ``window`` units of time before."""
        if window is None:
            return self._back(self._rows - self._starts)
        # Rows lie by key and then by time, so both make one rising number in which the window's begin is looked up. Times go by their
        # rank in it: keys times ranks are at most rows times rows, however long the times are.
        known = np.unique(self._times)
        own, first = np.searchsorted(known, self._times), np.searchsorted(known, self._times - window)
        begins = np.searchsorted(self._keys * len(known) + own, self._keys * len(known) + first)
        return self._back(self._rows - begins)

    def gap(self) -> NDArray[np.float64]:
        """Units of time since the last one, NaN where there is none."""
        gaps = np.diff(self._times, prepend=0).astype(np.float64)
        return self._back(np.where(self._rows > self._starts, gaps, np.nan))

    def mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean of ``values`` ``(rows,)`` over the :data:`RECENT` before, NaN where there is none."""
        sums, counts = self._recent(values)
        return self._back(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))

    def share(self, flags: NDArray[np.bool_]) -> NDArray[np.float64]:
        """``(n + 1) / (k + 2)``, n of the k :data:`RECENT` before have the flag."""
        sums, counts = self._recent(flags.astype(np.float64))
        return self._back((sums + 1.0) / (counts + 2.0))

    def _recent(self, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        rising = np.concatenate([[0.0], np.cumsum(values[self._by])])
        begins = np.maximum(self._starts, self._rows - RECENT)
        return rising[self._rows] - rising[begins], self._rows - begins

    def _back(self, values: NDArray[np.generic]) -> NDArray[np.float64]:
        placed = np.empty(len(values))
        placed[self._by] = np.where(self._missing, np.nan, values.astype(np.float64))
        return placed


def joint(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """One key for each pair ``(rows,)``, -1 where either is negative."""
    pairs = first * (int(second.max()) + 1) + second
    return np.where((first < 0) | (second < 0), -1, pairs)


def first_times(keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows ``(rows,)`` have a key that no earlier row has."""
    flags = np.zeros(len(keys), dtype=bool)
    flags[np.unique(keys, return_index=True)[1]] = True
    return flags & (keys >= 0)


def _check(found: TransactionGraph, amounts: NDArray[np.floating], windows: Sequence[int]) -> None:
    if len(amounts) != len(found.times):
        raise KnowledgeError(f"there are {len(found.times)} transactions and {len(amounts)} amounts; give one for each")
    if not bool(np.all(amounts >= 0)):
        raise KnowledgeError("an amount is negative or no number; give amounts of at least 0, and the direction as a kind")
    if not windows or windows[0] < 1 or any(one >= other for one, other in pairwise(windows)):
        raise KnowledgeError("windows must be whole numbers that rise from at least 1; list each once, the shortest first")
