"""The coordinator's gRPC API on loopback: ``Enrolment``, ``Runs`` and ``Artifacts``, each caller known by its certificate.

It is two servers, each on a port of its own. On one TLS asks for a client certificate of our CA and lets nobody in without; the
other is for ``Join`` alone, whose caller has none yet, and bears few calls of anybody: what strangers do there takes nothing from
members. Which connection goes to which port is the door's affair (``server/door.py``); which certificate is in force is asked at
every call.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from pathlib import Path

import grpc

from server.artifacts_service import ArtifactsService
from server.callers import Callers
from server.enrolment_service import JOIN, EnrolmentService
from server.membership import Membership
from server.runs_service import LOOK_S, RunsService
from server.site import CoordinatorSite
from server.superlink import CoordinatorFolder
from shared.files import read_bytes
from shared.hosting import LOOPBACK
from shared.identity import read_private
from shared.logs import set_up
from shared.rpc.services import ARTIFACTS, ENROLMENT, RUNS, handlers

LARGEST_MESSAGE = 64 * 1024
"""Bytes of the largest message that a caller may send: keys and names."""
MOST_CALLS, MOST_JOINING = 256, 16
"""Calls at a time, of members and of strangers who want to join; more are refused with RESOURCE_EXHAUSTED."""
JOIN_AGE_S, JOIN_GRACE_S = 30.0, 5.0
"""How long a stranger's connection may last, and how long after that a call on it may go on: joining takes a second."""
_LIMITS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.max_metadata_size", 8 * 1024),
    ("grpc.max_concurrent_streams", 16),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.so_reuseport", 0),
)


class Api:
    """Both servers over a coordinator's folder; made within the event loop that is to run them."""

    def __init__(self, folder: Path, *, look_s: float = LOOK_S) -> None:
        """Raises the error of what is wrong with the folder: it is said now, and not to a caller."""
        site, membership = CoordinatorSite(folder), Membership(folder)
        _ = site.identity
        callers = Callers(membership)
        enrolment = EnrolmentService(site, membership, callers)
        self._home = CoordinatorFolder(folder)
        self._members = grpc.aio.server(options=_LIMITS, maximum_concurrent_rpcs=MOST_CALLS)
        self._members.add_generic_rpc_handlers(
            (
                handlers(ENROLMENT, enrolment, methods={method.name for method in ENROLMENT.methods} - {JOIN}),
                handlers(RUNS, RunsService(site, callers, look_s=look_s)),
                handlers(ARTIFACTS, ArtifactsService(site, callers)),
            )
        )
        age = (("grpc.max_connection_age_ms", int(1000 * JOIN_AGE_S)), ("grpc.max_connection_age_grace_ms", int(1000 * JOIN_GRACE_S)))
        self._strangers = grpc.aio.server(options=(*_LIMITS, *age), maximum_concurrent_rpcs=MOST_JOINING)
        self._strangers.add_generic_rpc_handlers((handlers(ENROLMENT, enrolment, methods={JOIN}),))

    def listen(self, mutual_port: int = 0, join_port: int = 0) -> tuple[int, int]:
        """Adds both loopback ports (0: any that is free) and returns them: with a client's certificate, and without."""
        home = self._home
        pair = [(read_private(home.server_key), read_bytes(home.certificate, what="certificate"))]
        mutual = grpc.ssl_server_credentials(pair, root_certificates=read_bytes(home.ca, what="CA"), require_client_auth=True)
        return (
            self._members.add_secure_port(f"{LOOPBACK}:{mutual_port}", mutual),
            self._strangers.add_secure_port(f"{LOOPBACK}:{join_port}", grpc.ssl_server_credentials(pair)),
        )

    async def start(self) -> None:
        """Answers from now on."""
        await asyncio.gather(self._members.start(), self._strangers.start())

    async def stop(self, grace_s: float) -> None:
        """Answers no new call, and waits for those that are going on, at most ``grace_s`` seconds."""
        await asyncio.gather(self._members.stop(grace_s), self._strangers.stop(grace_s))


async def serve(folder: Path, mutual_port: int, join_port: int) -> None:
    """Serves until SIGTERM or SIGINT."""
    api, ended = Api(folder), asyncio.Event()
    api.listen(mutual_port, join_port)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await api.start()
    await ended.wait()
    await api.stop(2.0)


def main(arguments: list[str] | None = None) -> None:
    """``python -m server.api --folder coordinator --port 9001 --join-port 9002``."""
    parser = argparse.ArgumentParser(description="Serve the coordinator's gRPC API on loopback.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--join-port", type=int, required=True)
    options = parser.parse_args(arguments)
    set_up(logging.getLogger())
    asyncio.run(serve(options.folder, options.port, options.join_port))


if __name__ == "__main__":
    main()
