"""What the parts of a student are worth, as counts that may be summed over records and institutions under masks.

A block: how much the loss on held-out records rises when it is skipped, which a residual net allows. A head or an inner channel: the
first-order estimate of that rise, ``|sum over places of activation * gradient|`` of each record (Molchanov et al. 2019, "Importance
estimation for neural network pruning", eq. 8; of heads, Michel et al. 2019, section 4.1). Losses are in units of
:data:`shared.work.FIXED_POINT`, estimates in units of :data:`UNIT`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from shared.compress.prune.anatomy import AXES, Anatomy, anatomy, blocks_of, mixer, reader
from shared.data.records import UNLABELLED, Records
from shared.distill.evaluation import evaluate
from shared.heads import heads_of
from shared.models.convolutions import kernel_of
from shared.models.network import Network, trimmed_for
from shared.work import FIXED_POINT

UNIT = 2**24
"""Counter units in an estimate of 1.0."""
LARGEST = 2.0**10
"""An estimate of one record counts no more, so that no record can overflow a counter."""
_BATCH = 64

Counts = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Importances:
    """By block, in the order of the depth: the mean rise of the loss without it (NaN: not known), float64 ``(blocks,)``; and for each
    block the mean estimates of its heads ``(heads,)`` and inner channels ``(inner,)``."""

    blocks: NDArray[np.float64]
    heads: tuple[NDArray[np.float64], ...]
    inner: tuple[NDArray[np.float64], ...]


def importance_counts(student: Network, learnt: Records, held_out: Records) -> dict[str, NDArray[np.int64]]:
    """The counters of one institution: estimates from the records it learns from, losses on those ``held_out``.

    ``eval_records``, ``eval_loss`` ``(1,)``, ``eval_skipped_loss`` ``(blocks,)``, ``taylor_records`` ``(1,)``, ``taylor_heads``
    ``(heads,)``, ``taylor_inner`` ``(inner,)``, heads and channels of all blocks one after another. Counts of parts sum to those of the
    whole, up to float32's rounding of batches of other sizes. A record without a label counts with the student's own answer.
    """
    return {**_skipped_losses(student, held_out), **_estimates(student, learnt)}


def importances(student: Anatomy, sums: Counts) -> Importances:
    """Means from counts or from sums of counts. Without held-out records what a block is worth is not known."""
    records, looked_at = int(sums["eval_records"][0]), max(int(sums["taylor_records"][0]), 1)
    rise = (sums["eval_skipped_loss"] - sums["eval_loss"][0]) / FIXED_POINT / max(records, 1)
    blocks = rise.astype(np.float64) if records else np.full(len(student.blocks), np.nan)
    heads = np.split(sums["taylor_heads"] / UNIT / looked_at, np.cumsum([block.heads for block in student.blocks])[:-1])
    inner = np.split(sums["taylor_inner"] / UNIT / looked_at, np.cumsum([block.inner for block in student.blocks])[:-1])
    return Importances(blocks, tuple(heads), tuple(inner))


def magnitudes(student: Network) -> Importances:
    """Without any record: the squared length of the weights that write a part times that of those that read it.

    Of a block nothing is known: its weights say how much it does, not whether that is needed.
    """
    heads, inner = [], []
    for _, _, block in blocks_of(student):
        mixes, reads = mixer(block), reader(block)
        heads.append(np.zeros(0) if mixes is None else _head_magnitudes(block, mixes))
        inner.append(np.zeros(0) if reads is None else _inner_magnitudes(block))
    return Importances(np.full(len(heads), np.nan), tuple(heads), tuple(inner))


@contextmanager
def skipped(block: nn.Module) -> Iterator[None]:
    """Inside, the block gives back what it is given."""

    def around(_: nn.Module, given: tuple[Tensor, ...], found: Tensor | tuple[Tensor, ...]) -> Any:
        return (given[0], *found[1:]) if isinstance(found, tuple) else given[0]

    handle = block.register_forward_hook(around)
    try:
        yield
    finally:
        handle.remove()


def _skipped_losses(student: Network, records: Records) -> dict[str, NDArray[np.int64]]:
    found = [_loss(student, records)]
    for block, (_, _, module) in zip(anatomy(student).blocks, blocks_of(student), strict=True):
        with skipped(module) if block.removable else ExitStack():
            found.append(_loss(student, records) if block.removable else found[0])
    known = int((records.labels != UNLABELLED).sum())
    return {"eval_records": np.array([known]), "eval_loss": np.array(found[:1]), "eval_skipped_loss": np.array(found[1:], np.int64)}


def _loss(student: Network, records: Records) -> int:
    found = evaluate(student, records, len(student.task.labels), student.task.heads)
    return round(found.loss * found.records * FIXED_POINT)


def _estimates(student: Network, records: Records) -> dict[str, NDArray[np.int64]]:
    whole = anatomy(student)
    heads, inner = np.zeros(whole.heads, np.int64), np.zeros(whole.inner, np.int64)
    for start in range(0, len(records), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(records)))
        batch = records.take(rows)
        of_heads, of_inner = _batch_estimates(student, batch)
        heads, inner = heads + _counted(of_heads), inner + _counted(of_inner)
    return {"taylor_records": np.array([len(records)]), "taylor_heads": heads, "taylor_inner": inner}


def _batch_estimates(student: Network, batch: Records) -> tuple[list[Tensor], list[Tensor]]:
    """Of each block ``(batch, heads)`` and ``(batch, inner)``."""
    seen: dict[nn.Module, Tensor] = {}
    blocks = [module for _, _, module in blocks_of(student)]
    watched = [module for block in blocks for module in (mixer(block), reader(block)) if module is not None]
    if not watched:
        return [], []
    with ExitStack() as hooks, torch.enable_grad():
        for module in watched:
            handle = module.register_forward_pre_hook(lambda module, given: seen.__setitem__(module, given[0]))
            hooks.callback(handle.remove)
        loss = _summed_loss(student, batch)
        gradients = torch.autograd.grad(loss, [seen[module] for module in watched])
    product = {module: (seen[module] * gradient).detach() for module, gradient in zip(watched, gradients, strict=True)}
    heads = [_by_head(product[mixes], _heads(block)) for block in blocks if (mixes := mixer(block)) is not None]
    return heads, [_by_channel(product[reads]) for block in blocks if (reads := reader(block)) is not None]


def _summed_loss(student: Network, batch: Records) -> Tensor:
    logits = student(trimmed_for(student, torch.from_numpy(np.ascontiguousarray(batch.inputs))))
    labels = torch.from_numpy(batch.labels)
    if student.task.heads:
        own = torch.from_numpy(heads_of(student.task.heads))
        inside = (own == own[labels][:, None]) | (labels < 0)[:, None]
        logits = logits.masked_fill(~inside, float("-inf"))
    labels = torch.where(labels == UNLABELLED, logits.detach().argmax(dim=1), labels)
    return functional.cross_entropy(logits, labels, reduction="sum")


def _by_channel(product: Tensor) -> Tensor:
    # Maps: (batch, channels, height, width); tokens: (batch, tokens, channels); one vector: (batch, channels).
    places = (2, 3) if product.dim() == 4 else tuple(range(1, product.dim() - 1))
    return product.sum(dim=places).abs() if places else product.abs()


def _by_head(product: Tensor, heads: int) -> Tensor:
    batch, tokens, width = product.shape
    return product.reshape(batch, tokens, heads, width // heads).sum(dim=(1, 3)).abs()


def _counted(estimates: list[Tensor]) -> NDArray[np.int64]:
    if not estimates:
        return np.zeros(0, np.int64)
    # Rounded record by record: then sums of parts are the sums of the whole, wherever records are cut into batches.
    values = torch.cat(estimates, dim=1).double().nan_to_num(LARGEST, LARGEST).clamp(max=LARGEST)
    counts: NDArray[np.int64] = (values * UNIT).round().long().sum(dim=0).numpy()
    return counts


def _heads(block: nn.Module) -> int:
    return int(getattr(block, "heads", 0))


def _head_magnitudes(block: nn.Module, mixes: nn.Module) -> NDArray[np.float64]:
    heads = _heads(block)
    wrote = block.get_parameter("query_key_value.weight").detach().double().square().sum(dim=1).reshape(3, heads, -1)[2]
    read = mixes.get_parameter("weight").detach().double().square().sum(dim=0).reshape(heads, -1)
    found: NDArray[np.float64] = (wrote * read).sum(dim=1).numpy()
    return found


def _inner_magnitudes(block: nn.Module) -> NDArray[np.float64]:
    product: Tensor | None = None
    for name, _ in block.named_parameters():
        axis = AXES.get(name)
        if axis is None or axis.kind != "inner" or not name.endswith(".weight"):
            continue
        kernel = kernel_of(block.get_submodule(name.removesuffix(".weight")))
        length = kernel.detach().double().transpose(0, axis.axis).flatten(1).square().sum(dim=1)
        product = length if product is None else product * length
    assert product is not None
    found: NDArray[np.float64] = product.numpy()
    return found
