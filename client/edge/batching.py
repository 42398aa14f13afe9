"""Micro-batching with a bounded queue: rows of several requests run as one batch, and what cannot wait is refused at once.

Everything here runs in one event loop. So does a model that is quick enough: to hand a row to another thread and its answer back takes
longer than a small net does. A batch that is expected to take more than ``inline_s`` has a thread of its own, so that requests are
still heard.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class QueueFullError(Exception):
    """So many rows wait that the request's do not fit."""


class ExpiredError(Exception):
    """The request's deadline passed before its rows were computed."""


class Runs(Protocol):
    """What computes: :class:`client.edge.model.ServedModel`."""

    def logits(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Raw records -> float32 ``(n, labels)``, each row by itself."""
        ...


@dataclass(frozen=True)
class Limits:
    """``batch``: most rows in one run of the model, and in one request; ``queue``: most rows that wait; ``wait_s``: how long the first
    row of a batch waits for others (0: whatever has come while the batch before was computed); ``inline_s``: how long a batch may be
    expected to take that is computed in the event loop itself (0: none is)."""

    batch: int = 64
    queue: int = 1024
    wait_s: float = 0.0
    inline_s: float = 0.0005


@dataclass(eq=False)
class _Ticket:
    model: Runs
    inputs: NDArray[Any]
    deadline: float | None
    arrived: float
    answer: asyncio.Future[NDArray[np.float32]]
    waits: bool = True


class Batcher:
    """Gives each request's rows to the model that was current when it came, many requests at a time.

    A batch holds requests of any shape and model: those that agree in both are computed together, the others one group after the
    other, so that each answer has the same bits as if its request had come alone.
    """

    def __init__(self, limits: Limits = Limits()) -> None:
        self.limits = limits
        self.batches = 0
        self._waiting: deque[_Ticket] = deque()
        self._rows = 0
        self._came = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "edge-model")
        self._pace = Pace()

    @property
    def rows_waiting(self) -> int:
        """Rows that no run of the model has taken yet."""
        return self._rows

    async def submit(self, model: Runs, inputs: NDArray[Any], deadline: float | None = None) -> NDArray[np.float32]:
        """The logits of a request's rows. ``deadline`` is in the event loop's time.

        Raises :class:`QueueFullError` at once, :class:`ExpiredError` where the deadline passed before the rows were computed, and
        whatever the model raises. A caller that is cancelled takes its rows out of the queue.
        """
        loop = asyncio.get_running_loop()
        if self._rows + len(inputs) > self.limits.queue:
            raise QueueFullError
        ticket = _Ticket(model, inputs, deadline, loop.time(), loop.create_future())
        self._waiting.append(ticket)
        self._rows += len(inputs)
        self._came.set()
        try:
            return await ticket.answer
        finally:
            if ticket.waits:
                self._waiting.remove(ticket)
                self._rows -= len(inputs)

    async def run(self) -> None:
        """Computes batches until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._gathered()
            batch = self._take(loop.time())
            for tickets in _alike(batch):
                await self._compute(tickets)

    def close(self) -> None:
        """Ends the model's thread once its batch is done."""
        self._thread.shutdown()

    async def _gathered(self) -> None:
        while not self._waiting:
            self._came.clear()
            await self._came.wait()
        if not self.limits.wait_s:
            return
        due = self._waiting[0].arrived + self.limits.wait_s
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                while self._waiting and self._rows < self.limits.batch and asyncio.get_running_loop().time() < due:
                    self._came.clear()
                    await self._came.wait()

    def _take(self, now: float) -> list[_Ticket]:
        batch: list[_Ticket] = []
        rows = 0
        while self._waiting and (not batch or rows + len(self._waiting[0].inputs) <= self.limits.batch):
            ticket = self._waiting.popleft()
            self._rows -= len(ticket.inputs)
            ticket.waits = False
            if ticket.answer.done():
                continue
            if ticket.deadline is not None and ticket.deadline <= now:
                ticket.answer.set_exception(ExpiredError())
                continue
            batch.append(ticket)
            rows += len(ticket.inputs)
        return batch

    async def _compute(self, tickets: Sequence[_Ticket]) -> None:
        inputs = tickets[0].inputs if len(tickets) == 1 else np.concatenate([ticket.inputs for ticket in tickets])
        self.batches += 1
        try:
            logits = await self._logits(tickets[0].model, inputs)
        except Exception as error:  # a request must fail, not the service
            if len(tickets) == 1:
                _settle(tickets[0], error=error)
                return
            for ticket in tickets:  # what one request's rows did must not reach the others
                await self._compute([ticket])
            return
        self._give(tickets, logits)

    async def _logits(self, model: Runs, inputs: NDArray[Any]) -> NDArray[np.float32]:
        if self._pace.expected_s(model, len(inputs)) <= self.limits.inline_s:
            logits = self._pace.timed(model, inputs)
            await asyncio.sleep(0)  # between two batches requests are heard and answers leave, however many wait
            return logits
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._pace.timed, model, inputs)

    def _give(self, tickets: Sequence[_Ticket], logits: NDArray[np.float32]) -> None:
        start = 0
        for ticket in tickets:
            _settle(ticket, logits[start : start + len(ticket.inputs)])
            start += len(ticket.inputs)


class Pace:
    """How long a model takes for a row: a moving mean of what it took. One model at a time; of another nothing is known at first."""

    KEPT = 0.9

    def __init__(self) -> None:
        self._model: Runs | None = None
        self._row_s = float("inf")

    def expected_s(self, model: Runs, rows: int) -> float:
        """Seconds that a batch will take, if each row takes as long as one did; infinite of a model that was not run yet."""
        return rows * self._row_s if model is self._model else float("inf")

    def timed(self, model: Runs, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """The model's logits; raises what it raises."""
        started = time.perf_counter()
        logits = model.logits(inputs)
        took = (time.perf_counter() - started) / max(len(inputs), 1)
        known = model is self._model and self._row_s < float("inf")
        self._model, self._row_s = model, self.KEPT * self._row_s + (1 - self.KEPT) * took if known else took
        return logits


def _alike(batch: Sequence[_Ticket]) -> list[list[_Ticket]]:
    groups: dict[tuple[int, tuple[int, ...]], list[_Ticket]] = {}
    for ticket in batch:
        groups.setdefault((id(ticket.model), ticket.inputs.shape[1:]), []).append(ticket)
    return list(groups.values())


def _settle(ticket: _Ticket, logits: NDArray[np.float32] | None = None, error: Exception | None = None) -> None:
    if ticket.answer.done():
        return
    if error is not None:
        ticket.answer.set_exception(error)
    elif logits is not None:
        ticket.answer.set_result(logits)
