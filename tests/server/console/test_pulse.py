"""Streams say that something has changed, once for each change, and there are never more than so many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from server.console.pulse import Pulse, Streams, beats
from server.events import PhaseStarted
from server.membership import Membership
from server.site import CoordinatorSite
from shared.enrolment import Connection
from shared.service import write_status
from tests.support.opened import make_coordinator


@pytest.fixture
def site(tmp_path: Path) -> Iterator[CoordinatorSite]:
    made = CoordinatorSite(make_coordinator(tmp_path / "coordinator"))
    yield made
    made.store.close()


def test_the_state_is_another_one_after_every_kind_of_change(site: CoordinatorSite) -> None:
    async def run() -> list[str]:
        pulse, states = Pulse(site, look_s=0.0), list[str]()
        for change in (
            lambda: None,
            lambda: None,
            lambda: site.store.add_event("trial", 1.0, PhaseStarted(phase="train")),
            lambda: write_status(site.folder / "flower" / "status.json", "coordinator", "running", online=("ash",)),
            lambda: Membership(site.folder).invite("elm", Connection(address="127.0.0.1:8443"), 60.0),
        ):
            change()
            states.append(await pulse.state())
        return states

    first, *others = asyncio.run(run())
    assert others[0] == first
    assert len(set(others)) == len(others)


def test_one_look_serves_everybody_for_a_while(site: CoordinatorSite) -> None:
    async def run() -> tuple[str, str]:
        pulse = Pulse(site, look_s=60.0)
        before = await pulse.state()
        site.store.add_event("trial", 1.0, PhaseStarted(phase="train"))
        return before, await pulse.state()

    before, after = asyncio.run(run())
    assert before == after


class Still(Pulse):
    """A pulse that says what the test says."""

    def __init__(self, *states: str) -> None:
        self.look_s, self._left = 0.0, list(states)

    async def state(self) -> str:
        return self._left.pop(0) if len(self._left) > 1 else self._left[0]


def test_a_change_is_said_once_and_the_end_of_the_session_ends_the_stream() -> None:
    looks = [True] * 5

    async def run() -> list[bytes]:
        return [piece async for piece in beats(Still("a", "a", "b"), lambda: bool(looks) and looks.pop())]

    assert asyncio.run(run()) == [b"event: changed\ndata: a\n\n", b"event: changed\ndata: b\n\n"]


def test_a_stream_is_over_after_a_while_and_says_that_it_lives() -> None:
    async def some(stream: AsyncIterator[bytes], most: int) -> list[bytes]:
        return [piece async for _, piece in _zip(range(most), stream)]

    assert asyncio.run(some(beats(Still("a"), lambda: True, stream_s=0.0), 5)) == []
    said = asyncio.run(some(beats(Still("a"), lambda: True, beat_s=0.0), 3))
    assert said == [b"event: changed\ndata: a\n\n", b": nothing new\n\n", b": nothing new\n\n"]


async def _zip(numbers: range, stream: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    for number in numbers:
        try:
            yield number, await anext(stream)
        except StopAsyncIteration:
            return


def test_places_are_bounded_for_all_and_for_each() -> None:
    async def run() -> list[bool]:
        streams, admitted = Streams(most=3, most_of_one=2), list[bool]()
        async with AsyncExitStack() as held:
            admitted += [await held.enter_async_context(streams.place(name)) for name in ("ash", "ash", "ash", "elm", "oak")]
        async with streams.place("oak") as again:
            return [*admitted, again]

    assert asyncio.run(run()) == [True, True, False, True, False, True]
