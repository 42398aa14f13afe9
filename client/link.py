"""An institution's connection to its coordinator's API: gRPC over the one outbound connection, through the proxy if there is one."""

from __future__ import annotations

import contextlib
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from client.folder import InstitutionFolder
from shared.certificates import JOIN_HOST
from shared.enrolment import Connection, read_connection
from shared.errors import DeploymentError, FedstillError, IdentityError, PolicyRefusal
from shared.files import read_bytes
from shared.hosting import LOOPBACK
from shared.identity import read_private
from shared.printable import one_line
from shared.rpc.services import Stub

CALL_S = 20.0
"""Longest wait for the answer to one call."""
LARGEST_MESSAGE = 4 * 2**20
"""Bytes of the largest message that the coordinator may send."""


@dataclass(frozen=True)
class Link:
    """An open channel to the coordinator at ``connection``."""

    channel: Any
    connection: Connection

    def call(self, service: Any, method: str, request: Any, *, timeout: float = CALL_S) -> Any:
        """The answer to one call (an iterator of a stream's); raises what :func:`explained` makes of a refusal."""
        with explained(self.connection):
            return Stub(self.channel, service).call(method)(request, timeout=timeout)

    def stream(self, service: Any, method: str, request: Any, *, timeout: float | None = None) -> Iterator[Any]:
        """The answers of a stream, one by one."""
        with explained(self.connection):
            yield from Stub(self.channel, service).call(method)(request, timeout=timeout)


@contextlib.contextmanager
def open_link(folder: Path, *, connection: Connection | None = None) -> Iterator[Link]:
    """The link with the certificate that lies in an institution's folder; raises :class:`IdentityError` if it has none."""
    home = InstitutionFolder(folder)
    if not home.certificate.exists():
        raise IdentityError(
            f"{folder} has no certificate of its coordinator's, so it cannot call its API: join with 'fedstill client join', "
            "or go on by hand with the roster file"
        )
    ca = read_bytes(home.ca, what="CA's certificate")
    credentials = grpc.ssl_channel_credentials(ca, read_private(home.client_key), read_bytes(home.certificate, what="certificate"))
    where = connection or read_connection(home.connection)
    with _channel(where, credentials) as channel:
        yield Link(channel, where)


@contextlib.contextmanager
def open_join_link(connection: Connection, ca: bytes) -> Iterator[Link]:
    """The link of somebody who has no certificate yet; the coordinator must prove itself to ``ca`` (PEM) all the same."""
    with _channel(connection, grpc.ssl_channel_credentials(ca), ("grpc.ssl_target_name_override", JOIN_HOST)) as channel:
        yield Link(channel, connection)


@contextlib.contextmanager
def explained(connection: Connection) -> Iterator[None]:
    """Turns gRPC's errors into ours: who refused, why, and what to do; the sentence is the coordinator's own where it sent one."""
    try:
        yield
    except grpc.RpcError as error:
        raise _explain(connection, error) from error


def _explain(connection: Connection, error: Any) -> FedstillError:
    code, said = error.code(), one_line(error.details() or "")
    match code:
        case grpc.StatusCode.PERMISSION_DENIED | grpc.StatusCode.UNAUTHENTICATED:
            return IdentityError(f"{connection.address} refused: {said}")
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return PolicyRefusal(f"{connection.address} has too much to do: {said}")
        case grpc.StatusCode.INVALID_ARGUMENT | grpc.StatusCode.NOT_FOUND:
            return DeploymentError(f"{connection.address} cannot do this: {said}")
        case _:
            return DeploymentError(f"{connection.address} cannot be reached or does not answer ({code.name}: {said}); try 'client check'")


def proxy_for(connection: Connection) -> str | None:
    """The HTTPS proxy that this machine's environment names for the coordinator (``HTTPS_PROXY``, ``NO_PROXY``); none for loopback."""
    if connection.host in ("localhost", LOOPBACK) or urllib.request.proxy_bypass(connection.host):
        return None
    return urllib.request.getproxies().get("https")


def _channel(connection: Connection, credentials: Any, *options: tuple[str, object]) -> Any:
    # gRPC reads variables of its own and lower case alone; this is what the SuperNode's HTTP client goes by.
    proxy = proxy_for(connection)
    through = (("grpc.http_proxy", proxy),) if proxy else (("grpc.enable_http_proxy", 0),)
    limits = (("grpc.max_receive_message_length", LARGEST_MESSAGE), ("grpc.enable_retries", 0))
    return grpc.secure_channel(connection.address, credentials, options=[*limits, *through, *options])
