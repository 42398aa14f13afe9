"""A streamed answer that is admitted or not, and ends, whoever reads it and however slowly."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager

from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

EVENT_STREAM = "text/event-stream"
STREAM_S = 600.0
"""Seconds after which a stream of events ends; a browser opens another."""


class BoundedStream(StreamingResponse):
    """Is cut off after ``most_s`` seconds, also while it waits for a reader that does not read.

    ``place`` is held for as long as it lasts; where it yields False there is none, and the answer is 503.
    """

    def __init__(
        self,
        content: AsyncIterator[bytes],
        most_s: float,
        place: AbstractAsyncContextManager[bool],
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(content, status, headers, media_type=EVENT_STREAM)
        self._most_s, self._place = most_s, place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the stream until it ends by itself, its reader goes, or its time is over."""
        async with self._place as admitted:
            if not admitted:
                await PlainTextResponse("too many streams are open\n", 503)(scope, receive, send)
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._most_s):
                    await super().__call__(scope, receive, send)
