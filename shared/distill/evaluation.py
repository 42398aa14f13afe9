"""How good a model is on held-out records, in figures that may be summed over institutions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from shared.data.records import Records, labelled
from shared.models.network import predict_logits

LARGEST_LOSS = 2.0**10
"""A record's loss counts no more than this, so that no record can overflow a counter, not even with infinite logits."""


@dataclass(frozen=True)
class Evaluation:
    """``records`` looked at, their mean cross-entropy ``loss``, and ``confusion`` int64 ``(truth, prediction)``."""

    records: int
    loss: float
    confusion: NDArray[np.int64]

    @property
    def accuracy(self) -> float:
        """Share of records that are right, 0 without records."""
        return float(np.trace(self.confusion)) / max(self.records, 1)

    @property
    def macro_f1(self) -> float:
        """The mean over labels of F1 = 2 right / (truth + predicted); labels that no record has are left out, 0 without records."""
        truth, predicted = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        present = truth > 0
        scores = 2 * np.diag(self.confusion)[present] / (truth + predicted)[present]
        return float(scores.mean()) if present.any() else 0.0


def evaluate(model: nn.Module, records: Records, classes: int) -> Evaluation:
    """Evaluates in batches of bounded memory, outside training mode. Records without a label are not looked at."""
    records = labelled(records)
    return score(predict_logits(model, records.inputs), records.labels, classes)


def score(logits: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> Evaluation:
    """The figures of answers ``logits`` ``(records, classes)`` to records with these ``labels`` ``(records,)``."""
    losses = functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels), reduction="none").numpy()
    bounded = np.minimum(np.nan_to_num(losses.astype(np.float64), nan=LARGEST_LOSS, posinf=LARGEST_LOSS), LARGEST_LOSS)
    pairs = labels * classes + logits.argmax(axis=1)
    confusion = np.bincount(pairs, minlength=classes * classes).reshape(classes, classes).astype(np.int64)
    return Evaluation(len(labels), float(bounded.sum()) / max(len(labels), 1), confusion)
