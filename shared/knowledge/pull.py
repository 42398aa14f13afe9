"""What draws a representation to a graph's embeddings, each loss with its gradient in one go.

The embeddings are held still, so each record's losses depend on its own representation alone, and their gradient is a short
expression. Computed at once it takes a fifth of the operations that recording and replaying the formulas would: on a small student
these, not the arithmetic, are what a step costs. Shapes: ``B`` records, ``C`` classes, ``K`` numbers an embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from shared.data.records import UNLABELLED

UNNAMED = -1
"""The kind of a record that names no entity."""
_SHORTEST = 1e-12


@dataclass(frozen=True)
class Pull:
    """``loss``, a scalar, the sum over the records, and its ``gradient`` by the unit representations, ``(B, K)``."""

    loss: Tensor
    gradient: Tensor

    def __add__(self, other: Pull) -> Pull:
        return Pull(self.loss + other.loss, self.gradient + other.gradient)


def held_to(states: Tensor, weight: Tensor, bias: Tensor, pull: Callable[[Tensor], Pull]) -> Tensor:
    """The mean loss of what draws ``states (B, S)``, once projected by ``weight (K, S)`` and ``bias (K,)``, to the embeddings.

    ``pull`` says it of the unit vectors ``(B, K)`` of the projections. States, weight and bias learn through the mean. Products are those
    of float32 whatever else the batch is computed in: lower precision would round away what tells one embedding from another.
    """
    return cast(Tensor, _HeldTo.apply(states, weight, bias, pull))  # type: ignore[no-untyped-call]


def contrastive(units: Tensor, own: Tensor, weights: Tensor, kinds: Tensor | None = None) -> Pull:
    """InfoNCE: a record's representation must find its own embedding among those of the batch. ``units (B, K)``; ``own (B, K)``: unit
    embeddings over the temperature t, zeros for a record that names no entity; ``weights (B,)``, 0 of the unnamed.

    ``-log( exp(u_i·k_i/t) / sum_j exp(u_i·k_j/t) )`` (van den Oord et al. 2018, eq. 4), j over the record itself and those of the batch
    that name other entities, which ``kinds`` int64 ``(B,)`` tells: records of one kind are no negatives of each other, and an
    :data:`UNNAMED` one is nobody's. ``None``: all are named, no two alike. A loss is at most ``log B + 2/t``.
    """
    scores = units @ own.T
    if kinds is not None:
        left_out = torch.eq(kinds.unsqueeze(0), kinds.unsqueeze(1)).logical_or_(kinds == UNNAMED).fill_diagonal_(False)
        scores.masked_fill_(left_out, -torch.inf)
    logs = torch.log_softmax(scores, dim=1)
    loss = torch.dot(logs.diagonal(), weights).neg_()
    return Pull(loss, (logs.exp_() @ own).sub_(own).mul_(weights.unsqueeze(1)))


def cosine(units: Tensor, own: Tensor, weights: Tensor) -> Pull:
    """``1 - u·k``, weighed by ``weights (B,)``; ``units`` and ``own (B, K)`` are unit vectors."""
    drawn = own * -weights.unsqueeze(1)
    return Pull((weights + torch.linalg.vecdot(units, drawn)).sum(), drawn)


def prototypes(units: Tensor, classes: Tensor, labels: Tensor, weights: Tensor, absent: Tensor | None = None) -> Pull:
    """The cross-entropy of ``softmax(u·p_c / t)``: the classes' entities as prototypes (Snell et al. 2017, eq. 2, with the cosine in
    place of the distance, since embeddings of a graph differ in length by degree, not by meaning).

    ``units (B, K)``; ``classes (C + 1, K)``: unit embeddings over the temperature t, and a row of zeros; ``labels`` int64 ``(B,)``, -1 for
    none; ``weights (C + 1,)``: of each class's records, 0 for one without an entity, and, last, 0 for those without a label; ``absent``
    bool ``(C,)``: the classes without an entity, which are no alternatives, if there are any.
    """
    there, places = classes[:-1], labels.remainder(len(classes))
    scores, own = units @ there.T, weights.index_select(0, places)
    if absent is not None:
        scores.masked_fill_(absent, torch.finfo(units.dtype).min)
    logs = torch.log_softmax(scores, dim=1)
    loss = functional.nll_loss(logs, labels, weights[:-1], ignore_index=UNLABELLED, reduction="sum")
    return Pull(loss, (logs.exp_() @ there).sub_(classes.index_select(0, places)).mul_(own.unsqueeze(1)))


def _in_full(device: str) -> AbstractContextManager[object]:
    # To enter it takes as long as several of the products that it is for.
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


class _HeldTo(torch.autograd.Function):
    """A linear layer and the losses on it in one: what is kept is the mean's gradient by each projection."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor, pull: Callable[[Tensor], Pull]) -> Tensor:
        with _in_full(states.device.type):
            units = torch.addmm(bias, states.float(), weight.T)
            lengths = torch.linalg.vector_norm(units, dim=1, keepdim=True).clamp_(min=_SHORTEST)
            found = pull(units.div_(lengths))
            along = torch.linalg.vecdot(found.gradient, units).unsqueeze(1)
            gradient = torch.addcmul(found.gradient, along, units, value=-1.0).div_(lengths.mul_(len(units)))
        ctx.save_for_backward(states, weight, gradient)
        return found.loss / len(units)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        states, weight, gradient = ctx.saved_tensors
        own = gradient * given
        return (own @ weight).to(states.dtype), own.T @ states.float(), own.sum(dim=0), None
