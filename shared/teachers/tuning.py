"""Fine-tuning of pretrained weights: few epochs, a small rate that warms up, a faster head, and no randomness but the batches'."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from shared.data.records import Records
from shared.distill.loop import batches
from shared.distill.resume import Resume
from shared.errors import EmptyInstitutionError, NotFiniteError
from shared.models.seeds import generator
from shared.settings import TrainingSettings

PRETRAINED = TrainingSettings(epochs=3, batch_size=16, learning_rate=5e-5, weight_decay=1e-2)
"""What suits an encoder that has seen millions of texts or images before."""
HEAD_FACTOR = 20.0
"""How much faster the fresh head learns than the encoder."""
WARM_UP = 0.1
"""Share of the steps in which the rate rises."""
LARGEST_GRADIENT = 1.0

Progress = Callable[[int, int], None]
"""Called with the steps that are done and the number of all."""


def fine_tune(
    model: nn.Module,
    head: nn.Module,
    loss: Callable[[Tensor], Tensor],
    records: int,
    training: TrainingSettings,
    *,
    seed: int,
    on_step: Progress = lambda done, total: None,
    lengths: Tensor | None = None,
    resume: Resume | None = None,
) -> None:
    """Trains ``model`` in place with AdamW (Loshchilov & Hutter 2019); ``loss(rows)`` is the mean over int64 ``(batch,)`` records.
    With ``lengths`` int64 ``(records,)`` those of one length come together (:func:`shared.distill.loop.batches`). With ``resume``
    the fit is kept from time to time and goes on, bit for bit, where an earlier process was killed.

    The model stays out of training mode: dropout would draw from torch's own generator, and the statistics of batch
    normalisation, made on millions of images, would be replaced by those of a few records. ``head`` is the fresh part.
    Raises :class:`NotFiniteError` where the loss leaves the numbers.
    """
    own = {id(parameter) for parameter in head.parameters()}
    body = [parameter for parameter in model.parameters() if id(parameter) not in own]
    groups = [{"params": body, "factor": 1.0}, {"params": list(head.parameters()), "factor": HEAD_FACTOR}]
    optimizer = torch.optim.AdamW(groups, lr=training.learning_rate, weight_decay=training.weight_decay)
    order, count = generator(seed, "fine-tuning", "batches"), math.ceil(records / training.batch_size)
    total, kept = training.epochs * count, _Kept(model, optimizer, order, resume)
    done = kept.load()
    model.eval()
    while done < total:
        # Kept is the state before the shuffle: a fit that goes on draws the same order again and skips what is done.
        kept.begin_epoch()
        for rows in batches(records, count, order, lengths)[done % count :]:
            for group in optimizer.param_groups:
                group["lr"] = training.learning_rate * group["factor"] * rate_at(done, total)
            _step(optimizer, loss(rows), model)
            done += 1
            on_step(done, total)
            if done % count:
                kept.save_if_due(done)


class _Kept:
    """The state of a fine-tuning between two steps of an epoch: parameters, AdamW's moments, and the generator of the batches."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, order: torch.Generator, resume: Resume | None) -> None:
        self._model, self._optimizer, self._order, self._resume = model, optimizer, order, resume
        self._shuffle = order.get_state()

    def begin_epoch(self) -> None:
        self._shuffle = self._order.get_state()

    def save_if_due(self, done: int) -> None:
        if self._resume is not None and self._resume.due():
            moments = {
                f"moment.{place}.{name}": value
                for place, values in self._optimizer.state_dict()["state"].items()
                for name, value in values.items()
            }
            self._resume.save({"done": torch.tensor(done), "order": self._shuffle, **self._parameters(), **moments})

    def load(self) -> int:
        """Puts back what was kept, and gives the steps that are done; 0 where nothing of this model was."""
        found = self._resume.load() if self._resume is not None else None
        ours = self._parameters()
        if found is None or any(name not in found or found[name].shape != tensor.shape for name, tensor in ours.items()):
            return 0
        with torch.no_grad():
            for name, tensor in ours.items():
                tensor.copy_(found[name])
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in found.items():
            kind, _, rest = name.partition(".")
            if kind == "moment":
                place, _, what = rest.partition(".")
                moments.setdefault(int(place), {})[what] = tensor
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": moments})
        self._order.set_state(found["order"])
        return int(found["done"])

    def _parameters(self) -> dict[str, Tensor]:
        return {f"parameter.{name}": parameter.detach() for name, parameter in self._model.named_parameters()}


def labelled(records: Records) -> Records:
    """The records that a teacher can be fitted on: those with a label. Raises :class:`EmptyInstitutionError` where there is none."""
    found = records if (records.labels >= 0).all() else records.take(np.flatnonzero(records.labels >= 0))
    if not len(found):
        raise EmptyInstitutionError("there are no labelled training records to fit a teacher on; give the institution some")
    return found


def rate_at(done: int, total: int) -> float:
    """The share of the learning rate at step ``done`` of ``total``: up in a straight line, then down in one to nearly 0."""
    warm = max(1, round(total * WARM_UP))
    return (done + 1) / warm if done < warm else (total - done) / max(total - warm, 1)


def fresh(head: nn.Module, seed: int) -> None:
    """Fills a head: matrices normal with deviation 0.02 (Devlin et al. 2019), everything else 0."""
    numbers = generator(seed, "fine-tuning", "head")
    with torch.no_grad():
        for _, parameter in sorted(head.named_parameters()):
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.02, generator=numbers)
            else:
                parameter.zero_()


def _step(optimizer: torch.optim.Optimizer, value: Tensor, model: nn.Module) -> None:
    if not bool(torch.isfinite(value)):
        raise NotFiniteError("fine-tuning left the finite numbers; lower the learning rate")
    optimizer.zero_grad()
    value.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), LARGEST_GRADIENT)
    optimizer.step()
