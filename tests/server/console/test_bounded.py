"""A stream ends whoever reads it: by itself, without a reader, with one that does not read, and where there is no place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from server.console.bounded import EVENT_STREAM, BoundedStream


async def three() -> AsyncIterator[bytes]:
    for number in range(3):
        yield str(number).encode()


async def for_ever() -> AsyncIterator[bytes]:
    while True:
        yield b"more"
        await asyncio.sleep(0)


class Place:
    def __init__(self, admitted: bool = True) -> None:
        self.held, self.most, self._admitted = 0, 0, admitted

    @asynccontextmanager
    async def take(self) -> AsyncIterator[bool]:
        self.held += 1
        self.most = max(self.most, self.held)
        try:
            yield self._admitted
        finally:
            self.held -= 1


async def nobody_goes() -> Any:
    await asyncio.Event().wait()


def sent(stream: BoundedStream, *, reads: bool = True) -> list[Any]:
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)
        if not reads and message.get("body"):
            await asyncio.Event().wait()

    asyncio.run(stream({"type": "http", "asgi": {"spec_version": "2.3"}}, nobody_goes, send))
    return messages


def test_a_stream_is_sent_whole() -> None:
    place = Place()
    messages = sent(BoundedStream(three(), 60.0, place.take()))
    assert b"".join(message.get("body", b"") for message in messages) == b"012"
    assert (b"content-type", EVENT_STREAM.encode() + b"; charset=utf-8") in messages[0]["headers"]
    assert (place.most, place.held) == (1, 0)


def test_it_is_cut_off_when_its_time_is_over_read_or_not() -> None:
    for reads in (True, False):
        place = Place()
        messages = sent(BoundedStream(for_ever(), 0.05, place.take()), reads=reads)
        assert messages[0]["status"] == 200
        assert not any(message.get("more_body") is False for message in messages)
        assert place.held == 0


def test_without_a_place_there_is_none() -> None:
    messages = sent(BoundedStream(for_ever(), 60.0, Place(False).take()))
    assert messages[0]["status"] == 503
