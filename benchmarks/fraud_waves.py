"""S-FFSD: 77,881 transactions in order of time, what a student may see of each, and how alarms are graded.

A wave is a share of the labelled records to learn from, the first in time, and a share up to which to test. What is designed looks at
:data:`DESIGN` alone, all within the first seven eighths; :data:`WAVES` are what is reported.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score, precision_recall_curve, roc_auc_score

from benchmarks.harness import bench_data
from shared.data.records import UNLABELLED
from shared.knowledge.behaviour import behaviour
from shared.knowledge.transactions import TransactionColumns, dealt_anew, transaction_graph
from shared.task import CategoricalColumn, Column, NumericColumn, TabularTask

COLUMNS = TransactionColumns(source="Source", target="Target", location="Location", kind="Type", time="Time", window=1000)
WINDOWS = (100, 1000, 5000)
SPAN = 1000
"""Transactions among which the control deals entities anew."""
RAREST = 5
"""Training records that a category must have to be one."""
IDS = ("target", "location", "kind")
AMOUNT = ("amount", "nothing")
RAW = (*AMOUNT, *IDS)
TOTALS = ("source.total", "target.total", "location.total", "kind.total")
COUNTS = (*RAW, *TOTALS)
GRAPH = (
    *AMOUNT,
    *("source.gap", "source.in100", "source.in5000", "source.new", "source.deviation", "source.same"),
    *("target.in100", "target.in5000", "target.new", "target.deviation", "target.same"),
    *("kind.in100", "kind.in5000", "kind.new", "kind.deviation", "target+kind.in1000"),
)

Wave = tuple[float, float]
WAVES: dict[str, Wave] = {"50": (0.5, 1.0), "70": (0.7, 1.0), "87.5": (0.875, 1.0)}
DESIGN: dict[str, Wave] = {"50": (0.5, 0.625), "62.5": (0.625, 0.75), "75": (0.75, 0.875), "84": (0.84, 0.875)}


@dataclass(frozen=True)
class Ledger:
    """All transactions in time. ``labels``: int64 ``(n,)``, 1 a fraud, 0 legitimate, -1 unlabelled; ``figures``: each a column ``(n,)``,
    of :data:`IDS` the entity's number."""

    labels: NDArray[np.int64]
    figures: dict[str, NDArray[np.float32]]

    def parts(self, wave: Wave) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The labelled rows to learn from and those to test on."""
        known = np.flatnonzero(self.labels != UNLABELLED)
        first, last = (int(len(known) * share) for share in wave)
        return known[:first], known[first:last]

    def unlabelled(self, before: int, count: int, seed: int) -> NDArray[np.int64]:
        """``count`` unlabelled rows, or as many as there are, of those before row ``before``."""
        rows = np.flatnonzero(self.labels[:before] == UNLABELLED)
        return np.random.default_rng(seed).permutation(rows)[:count]

    def table(self, names: Sequence[str], train: NDArray[np.int64]) -> tuple[tuple[Column, ...], NDArray[np.float32]]:
        """The columns ``names`` as a task has them and the inputs of all rows ``(n, columns)``; categories are the training rows'."""
        columns: list[Column] = []
        inputs = np.empty((len(self.labels), len(names)), dtype=np.float32)
        for place, name in enumerate(names):
            values = self.figures[name]
            if name not in IDS:
                columns.append(NumericColumn(name=name))
                inputs[:, place] = values
                continue
            seen, counts = np.unique(values[train], return_counts=True)
            seen = seen[(counts >= RAREST) & (seen >= 0)]
            columns.append(CategoricalColumn(kind="categorical", name=name, categories=tuple(str(int(value)) for value in seen)))
            where = np.minimum(np.searchsorted(seen, values), len(seen) - 1)
            inputs[:, place] = np.where(seen[where] == values, where, np.nan)
        return tuple(columns), inputs


def task_of(columns: tuple[Column, ...]) -> TabularTask:
    """Fraud or not, from these columns."""
    return TabularTask(family="tabular", label="fraud", labels=("legitimate", "fraud"), columns=columns)


def read_ledgers(seed: int) -> tuple[Ledger, Ledger]:
    """The transactions as they are, and with their entities dealt anew by ``seed``. Ends with code 21 where they are not there."""
    with (bench_data("sffsd") / "S-FFSD.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = {name: [row[name] for row in rows] for name in rows[0]}
    return ledgers_of(table, seed)


def ledgers_of(table: dict[str, list[str]], seed: int) -> tuple[Ledger, Ledger]:
    """The same of columns by name; a label of 2 is none."""
    found = transaction_graph(COLUMNS, table)
    amounts, written = np.array(table["Amount"], dtype=np.float64), np.array(table["Labels"], dtype=np.int64)
    labels = np.where(written == 2, UNLABELLED, written)
    own = {"amount": np.log1p(amounts).astype(np.float32), "nothing": (amounts == 0).astype(np.float32)}
    ledgers = []
    for entities in (found.entities, dealt_anew(found.entities, found.times, SPAN, seed)):
        known = behaviour(replace(found, entities=entities), amounts, WINDOWS, pairs=[("target", "kind")])
        ids = {name: entities[:, place].astype(np.float32) for place, name in ((1, "target"), (2, "location"), (3, "kind"))}
        ledgers.append(Ledger(labels, {**own, **ids, **{name: known.values[:, place] for place, name in enumerate(known.names)}}))
    return ledgers[0], ledgers[1]


def grades(scores: NDArray[np.float64], truth: NDArray[np.int64], threshold: float) -> dict[str, float]:
    """AUC, F1 at ``threshold``, recall at 1 % and 5 % false positives, and the false positives it takes to find half of the frauds."""
    return {
        "auc": float(roc_auc_score(truth, scores)),
        "f1": float(f1_score(truth, scores > threshold, zero_division=0)),
        "recall1": recall_at(scores, truth, 0.01),
        "recall5": recall_at(scores, truth, 0.05),
        "alarms": alarms_at(scores, truth, 0.5),
    }


def recall_at(scores: NDArray[np.float64], truth: NDArray[np.int64], alarms: float) -> float:
    """The share of frauds that score above all but the share ``alarms`` of the legitimate."""
    legitimate = np.sort(scores[truth == 0])[::-1]
    return float((scores[truth == 1] > legitimate[int(alarms * len(legitimate))]).mean())


def alarms_at(scores: NDArray[np.float64], truth: NDArray[np.int64], recall: float) -> float:
    """The share of the legitimate that score as high as the fraud at which ``recall`` of the frauds are found."""
    frauds = np.sort(scores[truth == 1])[::-1]
    place = max(int(np.ceil(recall * len(frauds))), 1) - 1
    return float((scores[truth == 0] >= frauds[place]).mean())


def best_threshold(scores: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """The threshold with the best F1 on these records, which are to be those learnt from."""
    precision, recall, thresholds = precision_recall_curve(truth, scores)
    quality = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[int(quality[:-1].argmax())])
