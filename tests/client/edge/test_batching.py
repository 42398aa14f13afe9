"""Micro-batching: whoever asks gets its own rows back, the queue is bounded, and what is late or gone is never computed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.edge.batching import Batcher, ExpiredError, Limits, QueueFullError
from tests.support.edge import until


class Doubling:
    """Doubles its rows, once it may; ``runs`` are the rows of each run."""

    def __init__(self, *, held: bool = False, poison: float | None = None) -> None:
        self.runs: list[int] = []
        self.begun, self.free = threading.Event(), threading.Event()
        self.poison = poison
        if not held:
            self.free.set()

    def logits(self, inputs: Any) -> Any:
        self.begun.set()
        assert self.free.wait(60)
        self.runs.append(len(inputs))
        if self.poison is not None and (inputs == self.poison).any():
            raise ValueError("poison")
        return inputs * 2


def rows(*values: float, width: int = 1) -> Any:
    return np.repeat(np.array(values, np.float32)[:, None], width, axis=1)


def play(scene: Callable[[Batcher], Awaitable[None]], limits: Limits = Limits()) -> Batcher:
    async def whole() -> Batcher:
        batcher = Batcher(limits)
        running = asyncio.create_task(batcher.run())
        try:
            await scene(batcher)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            batcher.close()
        return batcher

    return asyncio.run(whole())


@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=5), min_size=1, max_size=20), st.integers(5, 12))
def test_everyone_gets_its_own_rows_whatever_the_batches(requests: list[list[float]], most: int) -> None:
    model = Doubling()

    async def scene(batcher: Batcher) -> None:
        asked = [rows(*request, width=1 + len(request) % 2) for request in requests]
        answers = await asyncio.gather(*(batcher.submit(model, inputs) for inputs in asked))
        for inputs, answer in zip(asked, answers, strict=True):
            np.testing.assert_array_equal(answer, inputs * 2)

    batcher = play(scene, Limits(batch=most))
    assert sum(model.runs) == sum(map(len, requests))
    assert max(model.runs) <= most
    assert batcher.batches == len(model.runs)
    assert batcher.rows_waiting == 0


def test_requests_that_came_while_the_model_was_busy_run_together() -> None:
    model = Doubling(held=True)

    async def scene(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.submit(model, rows(1.0)))
        await until(model.begun.is_set)
        others = [asyncio.create_task(batcher.submit(model, rows(float(number)))) for number in range(10)]
        await until(lambda: batcher.rows_waiting == 10)
        model.free.set()
        await asyncio.gather(first, *others)

    play(scene)
    assert model.runs == [1, 10]


def test_models_never_share_a_run() -> None:
    models = Doubling(held=True), Doubling()

    async def scene(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.submit(models[0], rows(1.0)))
        await until(models[0].begun.is_set)
        others = [asyncio.create_task(batcher.submit(models[number % 2], rows(float(number)))) for number in range(6)]
        await until(lambda: batcher.rows_waiting == 6)
        models[0].free.set()
        await asyncio.gather(first, *others)

    play(scene)
    assert (models[0].runs, models[1].runs) == ([1, 3], [3])


def test_a_row_waits_for_others_until_the_batch_is_full() -> None:
    model = Doubling()

    async def scene(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.submit(model, rows(1.0)))
        await until(lambda: batcher.rows_waiting == 1)
        await asyncio.gather(first, batcher.submit(model, rows(2.0, 3.0)))

    play(scene, Limits(batch=3, wait_s=3600.0))
    assert model.runs == [3]


def test_a_full_queue_refuses_at_once_and_takes_again_when_there_is_room() -> None:
    model = Doubling(held=True)

    async def scene(batcher: Batcher) -> None:
        running = asyncio.create_task(batcher.submit(model, rows(0.0)))
        await until(model.begun.is_set)
        waiting = asyncio.create_task(batcher.submit(model, rows(1.0, 2.0, 3.0)))
        await until(lambda: batcher.rows_waiting == 3)
        with pytest.raises(QueueFullError):
            await batcher.submit(model, rows(4.0, 5.0))
        fits = asyncio.create_task(batcher.submit(model, rows(6.0)))
        await until(lambda: batcher.rows_waiting == 4)
        model.free.set()
        assert (await fits).tolist() == [[12.0]]
        await asyncio.gather(running, waiting)
        await batcher.submit(model, rows(4.0, 5.0))

    play(scene, Limits(batch=4, queue=4))
    assert sum(model.runs) == 1 + 3 + 1 + 2


def test_what_is_late_is_not_computed() -> None:
    model = Doubling(held=True)

    async def scene(batcher: Batcher) -> None:
        now = asyncio.get_running_loop().time()
        running = asyncio.create_task(batcher.submit(model, rows(0.0), deadline=now + 3600))
        await until(model.begun.is_set)
        late = asyncio.create_task(batcher.submit(model, rows(1.0), deadline=now))
        good = asyncio.create_task(batcher.submit(model, rows(2.0), deadline=now + 3600))
        await until(lambda: batcher.rows_waiting == 2)
        model.free.set()
        with pytest.raises(ExpiredError):
            await late
        assert (await good).tolist() == [[4.0]]
        await running

    play(scene)
    assert model.runs == [1, 1]


def test_who_leaves_takes_its_rows_along() -> None:
    model = Doubling(held=True)

    async def scene(batcher: Batcher) -> None:
        running = asyncio.create_task(batcher.submit(model, rows(0.0)))
        await until(model.begun.is_set)
        leaving = asyncio.create_task(batcher.submit(model, rows(1.0, 2.0)))
        await until(lambda: batcher.rows_waiting == 2)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert batcher.rows_waiting == 0
        model.free.set()
        await running

    play(scene)
    assert model.runs == [1]


def test_rows_that_the_model_cannot_compute_fail_their_own_request_alone() -> None:
    model = Doubling(held=True, poison=13.0)

    async def scene(batcher: Batcher) -> None:
        running = asyncio.create_task(batcher.submit(model, rows(0.0)))
        await until(model.begun.is_set)
        asked = [asyncio.create_task(batcher.submit(model, rows(value))) for value in (1.0, 13.0, 2.0)]
        await until(lambda: batcher.rows_waiting == 3)
        model.free.set()
        found = await asyncio.gather(running, *asked, return_exceptions=True)
        assert [isinstance(answer, ValueError) for answer in found] == [False, False, True, False]

    play(scene)
