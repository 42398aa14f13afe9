"""The edge's process: a gRPC server, the batcher, the watch for newer versions and the metrics' port, from start to drained stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from client.edge.batching import Batcher, Limits
from client.edge.health import Health
from client.edge.metrics import MetricsServer
from client.edge.model import Current, open_source
from client.edge.service import EdgeService
from shared.compress.runtime import flush_denormals
from shared.errors import ConfigError, DeploymentError
from shared.files import read_bytes
from shared.rpc.services import EDGE, HEALTH, HEALTH_NAME, handlers

SWITCH_S = 0.0005
"""How long Python lets a thread go on before another that waits gets its turn. By default 5 ms: as long as a whole request may take, and
the model's thread would wait for the event loop, or the event loop for it."""
LAST_WORDS_S = 1.0
"""How long answers that are computed may take to leave, and streams to end, once nothing waits any more."""
MOST_CALLS = 4096
"""Calls at a time, idle streams too; more are refused with RESOURCE_EXHAUSTED."""


@dataclass(frozen=True)
class Tls:
    """PEM files: the server's certificate (with its chain) and key, and the CA that clients must prove themselves to, if they must."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True)
class EdgeOptions:
    """How the service runs. ``listen`` is HOST:PORT, port 0 a free one; ``metrics_port`` None is no metrics; ``drain_s`` bounds how long
    a stop waits for what was taken; ``look_s`` is how often a newer version is looked for."""

    listen: str = "127.0.0.1:50051"
    tls: Tls | None = None
    insecure: bool = False
    metrics_port: int | None = None
    limits: Limits = field(default_factory=Limits)
    threads: int = 1
    largest_message: int = 4 * 2**20
    drain_s: float = 10.0
    look_s: float = 1.0


@dataclass(frozen=True)
class Ready:
    """Where a service that is ready listens, and what it serves."""

    listening: str
    metrics: str | None
    version: int
    digest: str


class EdgeServer:
    """One service over one source of versions; made, started and stopped in one event loop."""

    def __init__(self, current: Current, options: EdgeOptions, say: Callable[[str], None]) -> None:
        self._options, self._say = options, say
        self.current = current
        self.batcher = Batcher(options.limits)
        self.service = EdgeService(current, self.batcher)
        self._health = Health()
        self._look_now, self._hurried = asyncio.Event(), asyncio.Event()
        self._metrics: MetricsServer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", options.largest_message),
                ("grpc.so_reuseport", 0),
            ],
            maximum_concurrent_rpcs=MOST_CALLS,
        )
        self._server.add_generic_rpc_handlers((handlers(EDGE, self.service), handlers(HEALTH, self._health, HEALTH_NAME)))

    async def start(self) -> Ready:
        """Listens, and answers from here on. Raises :class:`DeploymentError` where an address is taken."""
        listening = self._bind()
        if self._options.metrics_port is not None:
            self._metrics = MetricsServer(self._options.metrics_port, self.service.exposition)
        await self._server.start()
        self._tasks = [asyncio.create_task(self.batcher.run()), asyncio.create_task(self._watch())]
        artifact = self.current.model.artifact
        metrics = None if self._metrics is None else f"http://127.0.0.1:{self._metrics.port}/metrics"
        return Ready(listening, metrics, artifact.version, artifact.digest)

    def look(self) -> None:
        """Looks for another version now, and tries again one that was refused."""
        self._look_now.set()

    async def stop(self) -> None:
        """Says that it is not serving, refuses what comes, answers what it has taken, and ends.

        gRPC's own stop comes last: a request that meets it may find a closed door where it should have got its refusal.
        """
        self._health.stop()
        self.service.drain()
        waits = {asyncio.create_task(self.service.answered()), asyncio.create_task(self._hurried.wait())}
        _, late = await asyncio.wait(waits, timeout=self._options.drain_s, return_when=asyncio.FIRST_COMPLETED)
        for waiting in late:
            waiting.cancel()
        await self._server.stop(0 if self._hurried.is_set() else LAST_WORDS_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.batcher.close()
        self.service.close()
        if self._metrics is not None:
            await asyncio.to_thread(self._metrics.close)

    def hurry(self) -> None:
        """Lets a stop that waits for what was taken wait no longer."""
        self._hurried.set()

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look_now.wait(), self._options.look_s)
            asked = self._look_now.is_set()
            self._look_now.clear()
            if self.current.due(anyway=asked):
                self.current.switch(await asyncio.to_thread(self.current.fetch))

    def _bind(self) -> str:
        host, _ = parse_address(self._options.listen)
        try:
            if self._options.tls is None:
                port = self._server.add_insecure_port(self._options.listen)
            else:
                port = self._server.add_secure_port(self._options.listen, _credentials(self._options.tls))
        except RuntimeError as error:
            taken = f"cannot listen on {self._options.listen}; is another service there? give another with --listen"
            raise DeploymentError(taken) from error
        return f"{host}:{port}"


def serve(
    path: Path, key: bytes | None, options: EdgeOptions, say: Callable[[str], None], on_ready: Callable[[Ready], None] = lambda _: None
) -> None:
    """Serves the artifact, or the installation, at ``path`` until SIGTERM (returns) or SIGINT (raises :class:`KeyboardInterrupt`).

    SIGHUP looks for a newer version at once. A second signal does not wait for what was taken. Raises :class:`ConfigError` for
    options that do not go together, :class:`ArtifactError` for an artifact that must not be trusted, :class:`DeploymentError`
    for an address that is taken.
    """
    check(options)
    flush_denormals()
    current = Current(open_source(path, key, options.threads), say)
    if asyncio.run(_serve(current, options, say, on_ready)) == signal.SIGINT:
        raise KeyboardInterrupt


def check(options: EdgeOptions) -> None:
    """Raises :class:`ConfigError` for options that do not go together."""
    host, _ = parse_address(options.listen)
    if options.tls is None and not options.insecure and not _is_loopback(host):
        raise ConfigError(
            f"{host} can be reached from other machines: give --tls-cert and --tls-key, or say --insecure if the network itself is trusted"
        )
    if not 1 <= options.limits.batch <= options.limits.queue:
        raise ConfigError("--max-batch must be at least 1 and at most --queue-rows, or the largest request would never fit")


def parse_address(text: str) -> tuple[str, int]:
    """``HOST:PORT`` in its parts, an IPv6 host in brackets; raises :class:`ConfigError`."""
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"'{text}' is no address to listen on; give HOST:PORT, such as 127.0.0.1:50051")
    return host, int(port)


async def _serve(current: Current, options: EdgeOptions, say: Callable[[str], None], on_ready: Callable[[Ready], None]) -> int:
    server = EdgeServer(current, options, say)
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()

    def stop(number: int) -> None:
        if stopped.done():
            server.hurry()
        else:
            stopped.set_result(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    loop.add_signal_handler(signal.SIGHUP, server.look)
    on_ready(await server.start())
    gc.freeze()  # what is loaded stays: the collector need not look through it while requests wait
    sys.setswitchinterval(SWITCH_S)
    received = await stopped
    say("stopping: what was taken is answered first")
    await server.stop()
    return received


def _credentials(tls: Tls) -> Any:
    pair = (read_bytes(tls.key, what="TLS key"), read_bytes(tls.certificate, what="TLS certificate"))
    authority = None if tls.client_ca is None else read_bytes(tls.client_ca, what="client CA")
    return grpc.ssl_server_credentials([pair], root_certificates=authority, require_client_auth=authority is not None)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
