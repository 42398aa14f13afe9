"""The edge's gRPC service: requests become rows, rows become batches, and every refusal has a status and one sentence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from client.edge import about
from client.edge.batching import Batcher, ExpiredError, QueueFullError
from client.edge.metrics import PREFIX, Metrics, family, input_lines, sample
from client.edge.model import Current, ServedModel
from client.edge.records import inputs_of
from shared.errors import DataError, FedstillError
from shared.rpc import edge_pb2 as pb

LONGEST_ID = 200
"""Characters of a request's id."""
LARGE_BYTES = 2**16
"""A request of more bytes is read in a thread beside the event loop, so that small ones do not wait for it."""
STREAM_AHEAD = 32
"""Requests of one stream that are read before the first of them is answered; the sender waits by gRPC's own flow control."""


class Refused(Exception):
    """A request that gets no answer: the gRPC status ``code`` and a sentence."""

    def __init__(self, code: Any, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class EdgeService:
    """Answers requests with the model that is current when they come."""

    def __init__(self, current: Current, batcher: Batcher) -> None:
        self._current, self._batcher = current, batcher
        self.metrics = Metrics()
        self._reader = ThreadPoolExecutor(1, "edge-reader")
        self._draining = False
        self._taken = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def drain(self) -> None:
        """Refuses new requests from here on; those that were taken are answered."""
        self._draining = True

    async def answered(self) -> None:
        """Returns once every request that was taken is answered."""
        await self._idle.wait()

    def close(self) -> None:
        """Ends the reading thread."""
        self._reader.shutdown()

    async def Predict(self, request: pb.PredictRequest, context: Any) -> pb.PredictReply:  # noqa: N802
        """See ``edge.proto``."""
        try:
            return await self._answer(request, context.time_remaining())
        except Refused as refused:
            await context.abort(refused.code, refused.message)
            raise AssertionError("abort raises") from refused

    async def PredictStream(self, requests: AsyncIterator[pb.PredictRequest], context: Any) -> AsyncIterator[pb.StreamReply]:  # noqa: N802
        """See ``edge.proto``."""
        pending: asyncio.Queue[asyncio.Task[pb.StreamReply] | None] = asyncio.Queue(STREAM_AHEAD)
        tasks: set[asyncio.Task[pb.StreamReply]] = set()

        async def read() -> None:
            try:
                async for request in requests:
                    task = asyncio.create_task(self._stream_reply(request, context.time_remaining()))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    await pending.put(task)
            finally:
                await pending.put(None)

        reading = asyncio.create_task(read())
        try:
            while (task := await pending.get()) is not None:
                yield await task
            await reading
        finally:
            reading.cancel()
            for unanswered in tasks:
                unanswered.cancel()
            await asyncio.gather(reading, *tasks, return_exceptions=True)

    async def ModelInfo(self, request: pb.ModelInfoRequest, context: Any) -> pb.ModelInfoReply:  # noqa: N802
        """See ``edge.proto``."""
        return about.describe(self._current.model, self._current.refused)

    def exposition(self) -> str:
        """Everything that is counted, in Prometheus' text format."""
        return "\n".join(self._lines()) + "\n"

    async def _stream_reply(self, request: pb.PredictRequest, remaining: float | None) -> pb.StreamReply:
        try:
            return pb.StreamReply(reply=await self._answer(request, remaining))
        except Refused as refused:
            number: int = refused.code.value[0]
            return pb.StreamReply(failure=pb.Failure(request_id=request.request_id[:LONGEST_ID], code=number, message=refused.message))

    async def _answer(self, request: pb.PredictRequest, remaining: float | None) -> pb.PredictReply:
        started = time.perf_counter()
        loop = asyncio.get_running_loop()
        deadline = None if remaining is None else loop.time() + remaining
        try:
            reply = await self._predict(request, deadline)
        except Refused as refused:
            self.metrics.answered(refused.code.name, 0, time.perf_counter() - started)
            raise
        except asyncio.CancelledError:
            expired = deadline is not None and loop.time() >= deadline
            self.metrics.answered("DEADLINE_EXCEEDED" if expired else "CANCELLED", 0, time.perf_counter() - started)
            raise
        self.metrics.answered("OK", len(reply.predictions), time.perf_counter() - started)
        return reply

    async def _predict(self, request: pb.PredictRequest, deadline: float | None) -> pb.PredictReply:
        if self._draining:
            raise Refused(grpc.StatusCode.UNAVAILABLE, "the service is stopping; try another")
        self._taken += 1
        self._idle.clear()
        try:
            return await self._computed(request, deadline)
        finally:
            self._taken -= 1
            if not self._taken:
                self._idle.set()

    async def _computed(self, request: pb.PredictRequest, deadline: float | None) -> pb.PredictReply:
        loop = asyncio.get_running_loop()
        model, most = self._current.model, self._batcher.limits.batch
        try:
            if len(request.request_id) > LONGEST_ID:
                raise DataError(f"a request_id has at most {LONGEST_ID} characters")
            span = model.artifact.span(request.head) if request.head else slice(None)
            # A tokeniser is not for two threads at once, so all texts go to the one that reads.
            aside = request.ByteSize() > LARGE_BYTES or request.WhichOneof("records") == "texts"
            inputs = await loop.run_in_executor(self._reader, inputs_of, model, request, most) if aside else inputs_of(model, request, most)
        except FedstillError as error:
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error
        try:
            logits = await self._batcher.submit(model, inputs, deadline)
        except QueueFullError as error:
            full = f"{self._batcher.rows_waiting} rows wait, and no more than {self._batcher.limits.queue} may; try again later"
            raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, full) from error
        except ExpiredError as error:
            raise Refused(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the records were computed") from error
        except Exception as error:  # the model failed: this request's loss alone
            raise Refused(grpc.StatusCode.INTERNAL, "the model could not compute the records") from error
        return _reply(model, request, model.artifact.answers(logits, request.head or None), span)

    def _lines(self) -> Iterator[str]:
        model, limits = self._current.model, self._batcher.limits
        counts = sorted(self.metrics.requests.items())
        name = f"{PREFIX}_requests_total"
        yield from family(name, "counter", "Requests by gRPC status.", [sample(name, count, code=code) for code, count in counts])
        for suffix, kind, text, value in (
            ("rows_total", "counter", "Records answered.", self.metrics.rows),
            ("batches_total", "counter", "Runs of the model.", self._batcher.batches),
            ("queue_rows", "gauge", "Records that wait for the model.", self._batcher.rows_waiting),
            ("queue_limit_rows", "gauge", "Records that may wait before requests are refused.", limits.queue),
            ("loads_total", "counter", "Versions that came to serve.", self._current.loaded),
            ("refusals_total", "counter", "Versions that were to serve and were refused.", self._current.refusals),
            ("model_version", "gauge", "Version of the artifact that serves.", model.artifact.version),
            ("model_serving_since_seconds", "gauge", "When it came to serve, in seconds since 1970.", model.since),
        ):
            name = f"{PREFIX}_{suffix}"
            yield from family(name, kind, text, [sample(name, value)])
        name = f"{PREFIX}_latency_seconds"
        yield from family(name, "histogram", "From a request's coming to its answer, of those answered.", self.metrics.latency.lines(name))
        yield from input_lines(model.drift.seen())


def _reply(model: ServedModel, request: pb.PredictRequest, found: Any, span: slice) -> pb.PredictReply:
    labels: list[str] = model.task["labels"]
    return pb.PredictReply(
        request_id=request.request_id,
        model_version=model.artifact.version,
        model_digest=model.artifact.digest,
        labels=labels[span],
        predictions=[
            pb.Prediction(label=labels[index], probabilities=row)
            for index, row in zip(found.labels.tolist(), found.probabilities[:, span].tolist(), strict=True)
        ],
    )
