"""One student, several heads: what a record's output teaches stays among the labels of its own head (:mod:`shared.heads`).

A record's head follows from its label. One without a label belongs to the head that the institution names, or to the only one that
its labelled records have; where they have several it is compared over all labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.distill.targets import Targets
from shared.distill.term import UNLABELLED, Term, spread
from shared.heads import NONE, heads_of, spans
from shared.models.features import Features
from shared.models.network import Network
from shared.task import Head

OUTSIDE = -1e9
"""The logit of a label outside a record's head: no probability at any temperature, and still a number, so that zero times it is zero."""


class Heads:
    """A task's heads as one institution has them.

    ``default`` is the head of unlabelled records; ``present`` are the heads that its records teach anything, which are all where there
    are unlabelled ones of no known head.
    """

    def __init__(self, heads: Sequence[Head], labels: NDArray[np.int64], named: str | None = None) -> None:
        """``labels``: all training records', int64 ``(records,)``; ``named``: the head of those without one, if the institution says so."""
        self.heads, self.spans = tuple(heads), spans(heads)
        self._own = torch.from_numpy(heads_of(heads))
        found = sorted(set(heads_of(heads)[labels[labels != UNLABELLED]].tolist()))
        only = found[0] if len(found) == 1 else NONE
        self.default = only if named is None else [head.name for head in heads].index(named)
        unlabelled = bool((labels == UNLABELLED).any())
        more = () if not unlabelled else range(len(heads)) if self.default == NONE else (self.default,)
        self.present = tuple(sorted({*found, *more}))

    def of(self, labels: Tensor) -> Tensor:
        """Each record's head, int64 ``(batch,)``, :data:`shared.heads.NONE` where none is known; ``labels`` int64 ``(batch,)``."""
        found = self._own.to(labels.device)[labels.clamp_min(0)]
        return torch.where(labels == UNLABELLED, torch.full_like(found, self.default), found)

    def confined(self, found: Features, labels: Tensor) -> Features:
        """The features with :data:`OUTSIDE` for each logit ``(batch, labels)`` that is not of its record's head."""
        heads = self.of(labels).unsqueeze(1)
        return replace(found, logits=found.logits.masked_fill((heads != self._own.to(labels.device)) & (heads != NONE), OUTSIDE))

    def groups(self, labels: Tensor) -> list[tuple[Tensor, slice]]:
        """The batch by head: rows int64 ``(records,)``, and where the labels of their head lie; all labels where none is known."""
        heads = self.of(labels)
        spans = {NONE: slice(0, len(self._own)), **dict(enumerate(self.spans))}
        return [(torch.nonzero(heads == head).flatten(), spans[head]) for head in sorted(set(heads.cpu().tolist()))]


def site_heads(student: nn.Module, labels: NDArray[np.int64], named: str | None = None) -> Heads | None:
    """The heads of the student's task as an institution with these ``labels`` has them; ``None`` where the task has none."""
    return Heads(student.task.heads, labels, named) if isinstance(student, Network) and student.task.heads else None


class WithinHeads(Term):
    """A term of the output, of each head's records and labels by themselves: what it would be if the head were the whole task.

    So smoothing, a virtual teacher and relations among labels are spread over the head's labels alone, and relations among records
    over the head's records. A mean over some records (:meth:`Term.counted`) is that over those of all heads.
    """

    def __init__(self, term: Term, heads: Heads) -> None:
        super().__init__()
        self.term, self._heads = term, heads

    def counted(self, labels: Tensor) -> Tensor:
        """As the term."""
        return self.term.counted(labels)

    def forward(self, student: Features, teacher: Features | None, labels: Tensor) -> Tensor:
        """``(batch,)``; both logits: ``(batch, labels)`` of all heads, whether confined or not."""
        counted, parts = self.counted(labels), []
        groups = self._heads.groups(labels)
        for rows, span in groups:
            one, other = _cut(student, rows, span), None if teacher is None else _cut(teacher, rows, span)
            own = labels.index_select(0, rows)
            found = self.term(one, other, torch.where(own == UNLABELLED, own, own - span.start))
            # The term scales to its group's mean: that is taken back, for the mean of all.
            parts.append(found * counted[rows].to(found.dtype).mean())
        return spread(put_back(parts, [rows for rows, _ in groups]), counted)


def put_back(parts: Sequence[Tensor], rows: Sequence[Tensor]) -> Tensor:
    """Parts of a batch, each ``(records,)`` at its ``rows`` int64 ``(records,)``, as the whole ``(batch,)``; every row is in one part."""
    return torch.cat(list(parts)).index_select(0, torch.cat(list(rows)).argsort())


class ConfinedTargets:
    """Targets whose logits are confined to each record's head: what a teacher says of other heads is nobody's lesson."""

    def __init__(self, targets: Targets, heads: Heads, labels: Tensor) -> None:
        """``labels``: int64 ``(records,)``, in the order of the targets."""
        self._targets, self._heads, self._labels = targets, heads, labels

    def take(self, rows: Tensor, view: int = 0) -> Features:
        """As :meth:`Targets.take`."""
        found = self._targets.take(rows, view)
        return self._heads.confined(found, self._labels.index_select(0, rows).to(found.logits.device))


def _cut(found: Features, rows: Tensor, span: slice) -> Features:
    return Features(found.logits.index_select(0, rows)[:, span])
