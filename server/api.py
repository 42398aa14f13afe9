"""The coordinator's gRPC API on loopback: ``Enrolment``, ``Runs`` and ``Artifacts``, each caller known by its certificate.

It has two ports. On one TLS asks for a client certificate of our CA and lets nobody in without; the other is for ``Join``,
whose caller has none yet: every other method refuses there. Which connection goes to which port is the door's affair
(``server/door.py``); which certificate is in force is asked at every call.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from pathlib import Path
from typing import Any

import grpc

from server.artifacts_service import ArtifactsService
from server.callers import Callers
from server.enrolment_service import EnrolmentService
from server.membership import Membership
from server.runs_service import LOOK_S, RunsService
from server.site import CoordinatorSite
from server.superlink import CoordinatorFolder
from shared.files import read_bytes
from shared.hosting import LOOPBACK
from shared.identity import read_private
from shared.rpc.services import ARTIFACTS, ENROLMENT, RUNS, handlers

LARGEST_MESSAGE = 64 * 1024
"""Bytes of the largest message that a caller may send: keys and names."""
MOST_CALLS = 256
"""Calls at a time; more are refused with RESOURCE_EXHAUSTED."""
_OPTIONS = [
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.max_metadata_size", 8 * 1024),
    ("grpc.max_concurrent_streams", 16),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.so_reuseport", 0),
]


def make_server(folder: Path, *, look_s: float = LOOK_S) -> Any:
    """An asyncio gRPC server with all services over a coordinator's folder, not yet listening."""
    site, membership = CoordinatorSite(folder), Membership(folder)
    _ = site.identity  # what is wrong with it is said now, and not to a caller
    callers = Callers(membership)
    server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=MOST_CALLS)
    server.add_generic_rpc_handlers(
        (
            handlers(ENROLMENT, EnrolmentService(site, membership, callers)),
            handlers(RUNS, RunsService(site, callers, look_s=look_s)),
            handlers(ARTIFACTS, ArtifactsService(site, callers)),
        )
    )
    return server


def listen(server: Any, folder: Path, mutual_port: int = 0, join_port: int = 0) -> tuple[int, int]:
    """Adds both loopback ports (0: any that is free) and returns them: with a client's certificate, and without."""
    home = CoordinatorFolder(folder)
    pair = [(read_private(home.server_key), read_bytes(home.certificate, what="certificate"))]
    mutual = grpc.ssl_server_credentials(pair, root_certificates=read_bytes(home.ca, what="CA"), require_client_auth=True)
    return (
        server.add_secure_port(f"{LOOPBACK}:{mutual_port}", mutual),
        server.add_secure_port(f"{LOOPBACK}:{join_port}", grpc.ssl_server_credentials(pair)),
    )


async def serve(folder: Path, mutual_port: int, join_port: int) -> None:
    """Serves until SIGTERM or SIGINT."""
    server, ended = make_server(folder), asyncio.Event()
    listen(server, folder, mutual_port, join_port)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await server.start()
    await ended.wait()
    await server.stop(2.0)


def main(arguments: list[str] | None = None) -> None:
    """``python -m server.api --folder coordinator --port 9001 --join-port 9002``."""
    parser = argparse.ArgumentParser(description="Serve the coordinator's gRPC API on loopback.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--join-port", type=int, required=True)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(serve(options.folder, options.port, options.join_port))


if __name__ == "__main__":
    main()
