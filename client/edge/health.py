"""The standard health service (``grpc.health.v1``): is this process ready for requests?

The package ``grpcio-health-checking`` would do the same; it is one more dependency on the device, pinned to its own gRPC release.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from shared.rpc import health_pb2 as pb
from shared.rpc.services import EDGE

_KNOWN = ("", EDGE.full_name)


class Health:
    """Says SERVING of the whole server (``""``) and of the edge's service until :meth:`stop`."""

    def __init__(self) -> None:
        self._status = pb.HealthCheckResponse.SERVING
        self._changed = asyncio.Event()

    def stop(self) -> None:
        """Says NOT_SERVING from here on; who watches is told."""
        self._status = pb.HealthCheckResponse.NOT_SERVING
        self._changed.set()

    async def Check(self, request: pb.HealthCheckRequest, context: Any) -> pb.HealthCheckResponse:  # noqa: N802
        """The status; NOT_FOUND for a service that is not here."""
        if request.service not in _KNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service here")
        return pb.HealthCheckResponse(status=self._status)

    async def Watch(self, request: pb.HealthCheckRequest, context: Any) -> AsyncIterator[pb.HealthCheckResponse]:  # noqa: N802
        """The status now and when it changes; SERVICE_UNKNOWN for a service that is not here, for it may come (as the standard says)."""
        if request.service not in _KNOWN:
            yield pb.HealthCheckResponse(status=pb.HealthCheckResponse.SERVICE_UNKNOWN)
        else:
            yield pb.HealthCheckResponse(status=self._status)
            await self._changed.wait()
            yield pb.HealthCheckResponse(status=self._status)
            return
        await self._changed.wait()
