"""The standard health check, asked by the standard's own client."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shared.rpc.services import EDGE
from tests.support.edge import make_artifact, running


def test_the_standard_s_client_is_understood(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(make_artifact(tmp_path / "a")) as server:
            health = health_pb2_grpc.HealthStub(server.channel)
            for service in ("", EDGE.full_name):
                found = await health.Check(health_pb2.HealthCheckRequest(service=service))
                assert found.status == health_pb2.HealthCheckResponse.SERVING
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await health.Check(health_pb2.HealthCheckRequest(service="other"))
            assert caught.value.code() == grpc.StatusCode.NOT_FOUND

    asyncio.run(scene())


def test_who_watches_is_told_of_the_end(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(make_artifact(tmp_path / "a")) as server:
            watch = health_pb2_grpc.HealthStub(server.channel).Watch
            known, unknown = watch(health_pb2.HealthCheckRequest()), watch(health_pb2.HealthCheckRequest(service="other"))
            assert (await known.read()).status == health_pb2.HealthCheckResponse.SERVING
            assert (await unknown.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
            stopping = asyncio.create_task(server.server.stop())
            assert (await known.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            await stopping

    asyncio.run(scene())
