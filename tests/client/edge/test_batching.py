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

from client.edge.batching import Batcher, ExpiredError, Limits, Pace, QueueFullError
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


class Where:
    """Notes the thread that each of its runs has."""

    def __init__(self) -> None:
        self.threads: list[int] = []

    def logits(self, inputs: Any) -> Any:
        self.threads.append(threading.get_ident())
        if (inputs < 0).any():
            raise ValueError("negative")
        return inputs * 2


def inline_runs(inline_s: float, *models: Where) -> list[bool]:
    """Whether each run was in the event loop's own thread: three of each model in turn."""
    found: list[bool] = []

    async def scene(batcher: Batcher) -> None:
        for model in models:
            for _ in range(3):
                assert (await batcher.submit(model, rows(1, 2))).tolist() == [[2], [4]]
            found.extend(thread == threading.get_ident() for thread in model.threads)

    play(scene, Limits(inline_s=inline_s))
    return found


def test_a_model_that_was_quick_enough_is_run_in_the_event_loop_and_a_new_one_is_not_yet() -> None:
    assert inline_runs(3600.0, Where(), Where()) == [False, True, True] * 2


def test_a_model_that_is_not_quick_enough_never_is() -> None:
    assert inline_runs(0.0, Where()) == [False] * 3


def test_a_larger_batch_is_expected_to_take_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 1.0, 10.0, 12.0])
    monkeypatch.setattr("client.edge.batching.time.perf_counter", lambda: next(ticks))
    pace, model = Pace(), Doubling()
    assert pace.expected_s(model, 1) == float("inf")
    pace.timed(model, rows(1, 2))
    assert (pace.expected_s(model, 1), pace.expected_s(model, 8)) == (0.5, 4.0)
    assert pace.expected_s(Doubling(), 1) == float("inf")
    pace.timed(model, rows(1))
    assert pace.expected_s(model, 1) == pytest.approx(0.9 * 0.5 + 0.1 * 2.0)


def test_what_fails_in_the_event_loop_is_its_requests_loss_alone() -> None:
    async def scene(batcher: Batcher) -> None:
        model = Where()
        await batcher.submit(model, rows(1))
        answers = await asyncio.gather(*(batcher.submit(model, rows(value)) for value in (1, -1, 3)), return_exceptions=True)
        assert [isinstance(answer, ValueError) for answer in answers] == [False, True, False]
        assert model.threads[-1] == threading.get_ident()

    play(scene, Limits(inline_s=3600.0))


def test_others_have_their_turn_between_two_batches_in_the_event_loop() -> None:
    seen: list[int] = []

    async def scene(batcher: Batcher) -> None:
        model = Where()
        await batcher.submit(model, rows(1))

        async def watch() -> None:
            while len(seen) < 50:
                seen.append(len(model.threads))
                await asyncio.sleep(0)

        await asyncio.gather(watch(), *(batcher.submit(model, rows(1)) for _ in range(6)))
        assert {2, 3, 4} <= set(seen), "one batch a turn"

    play(scene, Limits(batch=1, inline_s=3600.0))
