"""The loop of every fit: seeded shuffles, even batches, AdamW, a cosine rate. No threads, no workers, no global randomness."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from shared.distill.adamw import FlatAdamW
from shared.distill.resume import Carried, Resume
from shared.distill.share import ALONE, Share
from shared.errors import NotFiniteError
from shared.settings import TrainingSettings

LAST_RATE = 0.1
"""Share of the learning rate that is left at the end."""
WINDOW = 50
"""Batches, at most, among which records change places so that those of equal length come together."""
WINDOWS = 4
"""Windows that an epoch has at least: were it all one, the same long records would meet in every epoch."""


class Fit:
    """Iterate over it for the mean loss of each epoch once it is done; stop asking to stop the fit.

    ``loss(rows)`` is the mean over the records at ``rows``, int64 ``(batch,)``, and may ask which ``epoch`` it is; with
    ``training.accumulation`` a batch is computed in that many parts, which needs less memory and gives the same step up to
    rounding. The rate falls by a half cosine from ``learning_rate`` to a tenth of it (Loshchilov & Hutter 2017), of which this fit does
    the part from ``span[0]`` to ``span[1]``: all of it, or a round's share of a run's.
    ``last`` is the mean loss of the last whole epoch, NaN before the first.

    With ``resume`` the fit is kept from time to time and goes on, bit for bit, where an earlier process was killed; epochs
    that were done then are not given again. ``carried`` names whatever else changes on the way (generators of dropout,
    running means). With ``lengths`` int64 ``(records,)`` each batch is of records of nearly one length (:func:`batches`),
    which saves padding.
    With a ``share`` of several processes each computes its part of every batch: the same step up to rounding, if the loss is a mean over
    records. Raises :class:`NotFiniteError` where the loss leaves the numbers.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        loss: Callable[[Tensor], Tensor],
        records: int,
        training: TrainingSettings,
        generator: torch.Generator,
        *,
        resume: Resume | None = None,
        carried: Mapping[str, Carried] | None = None,
        lengths: Tensor | None = None,
        span: tuple[float, float] = (0.0, 1.0),
        share: Share = ALONE,
    ) -> None:
        self._span, self._share = span, share
        self._optimizer = FlatAdamW(parameters, training.weight_decay)
        self._loss, self._records, self._training = loss, records, training
        self._generator, self._resume, self._carried, self._lengths = generator, resume, dict(carried or {}), lengths
        self._batches = -(-records // training.batch_size)
        self._step, self._total, self.last = 0, 0.0, math.nan
        self._order = generator.get_state()
        if resume is not None and (state := resume.load()) is not None:
            self._restore(state)

    def __iter__(self) -> Iterator[float]:
        while self._step < self._training.epochs * self._batches:
            yield self._epoch()
            # Only now, when whoever looks on has done its part of the epoch, is the state one whole.
            if self._resume is not None and self._resume.due():
                self._resume.save(self._state())

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return self._step // self._batches

    def _epoch(self) -> float:
        # Kept is the state before the shuffle: a fit that goes on draws the same order again and skips what is done.
        self._order = self._generator.get_state()
        for batch in batches(self._records, self._batches, self._generator, self._lengths)[self._step % self._batches :]:
            self._learn(batch)
            self._step += 1
            if self._resume is not None and self._step % self._batches and self._resume.due():
                self._resume.save(self._state())
        self.last, self._total = self._share.total(self._total, self._optimizer.values.device) / self._records, 0.0
        if not math.isfinite(self.last):
            raise NotFiniteError("training left the finite numbers; lower training.learning_rate")
        self._order = self._generator.get_state()
        return self.last

    def _learn(self, rows: Tensor) -> None:
        own = self._share.part(rows)
        for part in own.tensor_split(min(self._training.accumulation, max(len(own), 1))) if len(own) else ():
            with self._precision():
                value = self._loss(part)
            (value * (len(part) / len(rows)) if len(part) < len(rows) else value).backward()  # type: ignore[no-untyped-call]
            self._total += float(value.detach()) * len(part)
        self._share.add_up(self._optimizer.gradients)
        done, (start, stop) = self._step / (self._training.epochs * self._batches), self._span
        self._optimizer.step(self._training.learning_rate * rate_at(start + (stop - start) * done))

    def _precision(self) -> AbstractContextManager[object]:
        device = self._optimizer.values.device.type
        low = self._training.precision == "bfloat16" or (self._training.precision == "auto" and device == "cuda")
        return torch.autocast(device, torch.bfloat16) if low else nullcontext()

    def _state(self) -> dict[str, Tensor]:
        sums = torch.tensor([self._total, self.last], dtype=torch.float64)
        own = {"step": torch.tensor(self._step), "sums": sums, "order": self._order}
        carried = {f"carried.{name}": thing.get_state() for name, thing in self._carried.items()}
        return {**own, **carried, **{f"optimizer.{name}": tensor for name, tensor in self._optimizer.state().items()}}

    def _restore(self, state: Mapping[str, Tensor]) -> None:
        self._step, (self._total, self.last) = int(state["step"]), state["sums"].tolist()
        self._generator.set_state(state["order"])
        for name, thing in self._carried.items():
            thing.set_state(state[f"carried.{name}"])
        self._optimizer.restore({name.removeprefix("optimizer."): tensor for name, tensor in state.items()})


def batches(records: int, count: int, generator: torch.Generator, lengths: Tensor | None = None) -> list[Tensor]:
    """``count`` batches of row numbers, int64, that differ by at most one in size, each record in one of them.

    The order is drawn anew at every call. With ``lengths``, each :func:`window` batches of that order are sorted by length before
    they are cut, and all batches are then shuffled: what is in a batch is still drawn by chance, though not independently.
    """
    rows = torch.randperm(records, generator=generator)
    parts = list(rows.tensor_split(count))
    if lengths is None:
        return parts
    wide = window(count)
    windows = [torch.cat(parts[start : start + wide]) for start in range(0, count, wide)]
    sizes = [len(part) for part in parts]
    ordered = torch.cat([own[torch.argsort(lengths[own], stable=True)] for own in windows]).split(sizes)  # type: ignore[no-untyped-call]
    return [ordered[place] for place in torch.randperm(count, generator=generator)]


def window(count: int) -> int:
    """Batches that are sorted by length together: a quarter of an epoch's ``count``, from 1 to :data:`WINDOW`."""
    return min(WINDOW, max(count // WINDOWS, 1))


def rate_at(done: float) -> float:
    """The share of the learning rate that is left when ``done`` (0 to 1) of the steps are."""
    return LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * done)) / 2
