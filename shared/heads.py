"""Answers and figures within heads: a record is compared among the labels of its own head alone. numpy and no torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.task import Head

NONE = -1
"""The head of a record that has none known: it is answered among all labels."""


@dataclass(frozen=True)
class HeadFigures:
    """Of the ``records`` of one head: the share that is right, and the mean F1 of the labels that they have; 0 without records."""

    records: int
    accuracy: float
    macro_f1: float


def spans(heads: Sequence[Head]) -> tuple[slice, ...]:
    """Where each head's labels lie within the task's."""
    ends = np.cumsum([len(head.labels) for head in heads]).tolist()
    return tuple(slice(end - len(head.labels), end) for head, end in zip(heads, ends, strict=True))


def heads_of(heads: Sequence[Head]) -> NDArray[np.int64]:
    """The head of each of the task's labels, int64 ``(labels,)``."""
    return np.repeat(np.arange(len(heads)), [len(head.labels) for head in heads]).astype(np.int64)


def confined(logits: NDArray[np.floating], labels: NDArray[np.integer], heads: Sequence[Head]) -> NDArray[np.floating]:
    """``logits`` ``(n, labels)`` with minus infinity outside the head of each record's label; as they are without heads.

    ``labels``: ``(n,)``, in 0..labels - 1, or -1 for a record that may have any.
    """
    if not heads:
        return logits
    own = heads_of(heads)
    inside = (own == own[labels][:, None]) | (labels < 0)[:, None]
    return np.where(inside, logits, np.array(-np.inf, logits.dtype))


def answers(logits: NDArray[np.floating], labels: NDArray[np.integer], heads: Sequence[Head]) -> NDArray[np.int64]:
    """The label with the largest logit in the head of each record, int64 ``(n,)``; arguments as of :func:`confined`."""
    found: NDArray[np.int64] = confined(logits, labels, heads).argmax(axis=1).astype(np.int64)
    return found


def macro_f1(confusion: NDArray[np.integer]) -> float:
    """The mean over labels of F1 = 2 right / (truth + predicted) of ``(truth, prediction)`` counts.

    Labels that no record has are left out; 0 without records.
    """
    truth, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    present = truth > 0
    scores = 2 * np.diag(confusion)[present] / (truth + predicted)[present]
    return float(scores.mean()) if present.any() else 0.0


def figures(confusion: NDArray[np.integer], heads: Sequence[Head]) -> dict[str, HeadFigures]:
    """Each head's figures by name from a task's confusion counts ``(labels, labels)``, which sums over institutions may be."""
    blocks = {head.name: confusion[span, span] for head, span in zip(heads, spans(heads), strict=True)}
    return {name: _figures(block) for name, block in blocks.items()}


def _figures(block: NDArray[np.integer]) -> HeadFigures:
    records = int(block.sum())
    return HeadFigures(records, float(np.trace(block)) / max(records, 1), macro_f1(block))


def balanced(
    mean: NDArray[np.float64], weight: int, weights: NDArray[np.integer], ranges: Sequence[Sequence[tuple[int, int]]]
) -> NDArray[np.float64]:
    """A round's mean update ``(d,)`` with each head's outputs averaged over the institutions that have records of it alone.

    ``mean`` is ``sum_i w_i u_i / W`` over all institutions, ``W`` their ``weight``; those without a head leave its outputs as they are, and
    would only slow it: a head that one small institution has would hardly ever be learnt. So its coordinates, which ``ranges`` has for
    each head, are multiplied by ``W / sum_i w_i`` over the institutions that have the head, their sum in ``weights`` ``(heads,)``.
    """
    found = mean.copy()
    for own, places in zip(weights.tolist(), ranges, strict=True):
        for start, stop in places if own else ():
            found[start:stop] *= weight / own
    return found
