"""How good a model is on held-out records, in figures that may be summed over institutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from shared.data.records import Records, labelled
from shared.heads import HeadFigures, confined, figures, macro_f1
from shared.models.network import predict_logits
from shared.task import Head

LARGEST_LOSS = 2.0**10
"""A record's loss counts no more than this, so that no record can overflow a counter, not even with infinite logits."""


@dataclass(frozen=True)
class Evaluation:
    """``records`` looked at, their mean cross-entropy ``loss``, and ``confusion`` int64 ``(truth, prediction)``."""

    records: int
    loss: float
    confusion: NDArray[np.int64]
    heads: tuple[Head, ...] = ()

    @property
    def accuracy(self) -> float:
        """Share of records that are right, 0 without records."""
        return float(np.trace(self.confusion)) / max(self.records, 1)

    @property
    def macro_f1(self) -> float:
        """As :func:`shared.heads.macro_f1`."""
        return macro_f1(self.confusion)

    @property
    def by_head(self) -> dict[str, HeadFigures]:
        """Accuracy and macro F1 of each head's records; empty where the task has no heads."""
        return figures(self.confusion, self.heads)


def evaluate(model: nn.Module, records: Records, classes: int, heads: Sequence[Head] = ()) -> Evaluation:
    """Evaluates in batches of bounded memory, outside training mode. Records without a label are not looked at."""
    records = labelled(records)
    return score(predict_logits(model, records.inputs), records.labels, classes, heads)


def score(logits: NDArray[np.float32], labels: NDArray[np.int64], classes: int, heads: Sequence[Head] = ()) -> Evaluation:
    """The figures of answers ``logits`` ``(records, classes)`` to records with these ``labels`` ``(records,)``.

    With the task's ``heads`` each record is answered, and its loss taken, within the head of its label: ``confusion`` is then zero
    outside the heads' blocks.
    """
    logits = confined(logits, labels, heads)
    losses = functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels), reduction="none").numpy()
    bounded = np.minimum(np.nan_to_num(losses.astype(np.float64), nan=LARGEST_LOSS, posinf=LARGEST_LOSS), LARGEST_LOSS)
    pairs = labels * classes + logits.argmax(axis=1)
    confusion = np.bincount(pairs, minlength=classes * classes).reshape(classes, classes).astype(np.int64)
    return Evaluation(len(labels), float(bounded.sum()) / max(len(labels), 1), confusion, tuple(heads))
