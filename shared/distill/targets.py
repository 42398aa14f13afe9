"""What the teacher says of each training record and of each view of it; never sent anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.data.records import Records
from shared.distill.packing import Layout, layout_of, packed, unpacked
from shared.distill.views import Views
from shared.errors import NotFiniteError
from shared.models.features import Features, features, joined
from shared.models.network import BATCH
from shared.teachers.teacher import Teacher

SHOWN = 32
"""Records that a teacher is shown together at most: large ones need the memory."""


class Targets(Protocol):
    """The teacher's features by record and view."""

    def take(self, rows: Tensor, view: int = 0) -> Features:
        """Features, float32, of the records at ``rows``, int64 ``(batch,)``."""
        ...


@dataclass(frozen=True)
class Order:
    """What is asked of a teacher: ``hidden`` places in ``0..layers``, ``attentions`` in ``1..layers``, ``top_k`` logits (0: all)."""

    hidden: tuple[int, ...] = ()
    attentions: tuple[int, ...] = ()
    top_k: int = 0


@dataclass(frozen=True)
class LiveTargets:
    """Asks the teacher every time: slower than kept targets, rounded like them, and of bounded memory."""

    teacher: Teacher
    records: Records
    views: Views
    order: Order
    layout: Layout

    def take(self, rows: Tensor, view: int = 0) -> Features:
        """As :meth:`Targets.take`. Raises :class:`NotFiniteError` where the teacher's answer is no number."""
        parts = rows.split(SHOWN)  # type: ignore[no-untyped-call]
        return unpacked(joined_arrays([packed(self._shown(part, view), self.layout) for part in parts]), self.layout)

    def _shown(self, rows: Tensor, view: int) -> Features:
        return shown(self.teacher, self.views.records(self.records, rows.numpy(), view), self.order)


@dataclass(frozen=True)
class HeldTargets:
    """Features of the records as they are, in memory."""

    held: Features

    def take(self, rows: Tensor, view: int = 0) -> Features:
        """As :meth:`Targets.take`; ``view`` must be 0."""
        if view:
            raise ValueError("only the records as they are were kept")
        return self.held.take(rows)


def live_targets(teacher: Teacher, records: Records, views: Views, order: Order) -> LiveTargets:
    """Targets that are asked for each time; shows the teacher one record to learn its shapes."""
    first = shown(teacher, records.take(np.arange(1)), order)
    return LiveTargets(teacher, records, views, order, layout_of(first, order.top_k, teacher.longest(records)))


def shown(teacher: Teacher, records: Records, order: Order) -> Features:
    """What the teacher shows of a few records. Raises :class:`NotFiniteError` where its answer is no number."""
    found = teacher.show(records, hidden=order.hidden, attentions=order.attentions)
    if not all(bool(torch.isfinite(tensor).all()) for tensor in (found.logits, *found.hidden_states, *found.attentions)):
        raise NotFiniteError("the teacher answered a record with a NaN or an infinity; fit it again or choose another teacher")
    return found


def joined_arrays(parts: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Packed features of consecutive batches as those of one."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def targets_of(teacher: nn.Module, inputs: NDArray[Any], *, inside: bool) -> Targets:
    """A model's features of all records as they are, kept in memory in float32: for students that learn alone.

    ``inside`` says whether hidden states and attention maps are wanted too.
    """
    teacher.eval()
    with torch.no_grad():
        parts = [features(teacher, part) for part in torch.from_numpy(inputs).split(BATCH)]  # type: ignore[no-untyped-call]
    return HeldTargets(joined([part if inside else Features(part.logits) for part in parts]))
