"""The one public port: looks at a connection's TLS greeting and hands the whole connection on, unopened, to who serves its kind.

============================================  ==========================================================
greeting                                      goes to
============================================  ==========================================================
speaks HTTP/2 alone, asks for ``JOIN_HOST``   the API's port without client certificates: ``Join`` only
speaks HTTP/2 alone                           the API's port, where TLS asks for a client certificate
anything else                                 the gateway: Flower's fleet calls, the CA's certificate
============================================  ==========================================================

The door decrypts nothing: TLS, with the client's certificate, ends at the process that serves. It reads a greeting with
OpenSSL itself, by a handshake that it begins in memory and throws away, so no second parser can understand it otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import signal
import ssl
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.certificates import JOIN_HOST
from shared.hosting import LOOPBACK

HELLO_S = 10.0
"""Longest wait for a whole greeting."""
LARGEST_HELLO = 32 * 1024
"""Bytes of the largest greeting."""
MOST_CONNECTIONS, MOST_OF_ONE = 1024, 64
"""Connections at a time, of all and of one IP address (of IPv6: of one /64, which is one site's); more are closed at once."""
INNER_S = 20.0
"""How long a connection is held while nobody behind the door listens: a process that ended is started again meanwhile. Clients take a
connection that ends within its greeting for one that cannot be trusted, and give up."""
AGAIN_S = 0.2
LINGER_S = 10.0
"""How long one direction may go on once the other has ended."""
_PIECE = 64 * 1024


@dataclass(frozen=True)
class Inner:
    """The loopback ports behind the door."""

    web: int
    api: int
    join: int


@dataclass(frozen=True)
class Hello:
    """What a greeting says: the protocol that is chosen of those it offers, and the name that it asks for."""

    protocol: str | None
    host: str | None


class Greeting:
    """Reads one greeting piece by piece. ``context`` is a server's, made by :func:`sieve`."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._handshake = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def read(self, piece: bytes) -> Hello | None:
        """What the greeting says once it is whole; ``None`` while more of it must come. What is no greeting says nothing."""
        self._incoming.write(piece)
        try:
            self._handshake.do_handshake()
        except ssl.SSLWantReadError:
            if not self._outgoing.pending:  # the answer is begun once the greeting was read to its end
                return None
        except ssl.SSLError:
            return Hello(None, None)
        return Hello(self._handshake.selected_alpn_protocol(), vars(self._handshake).get("asked_host"))


def sieve(certificate: Path, key: Path) -> ssl.SSLContext:
    """The context that reads greetings: it would rather speak HTTP/1.1, so only who offers HTTP/2 alone is taken for gRPC."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1", "h2"])
    context.sni_callback = _note_host
    return context


def inner_port(hello: Hello, inner: Inner) -> int:
    """Where a connection with this greeting goes."""
    if hello.protocol != "h2":
        return inner.web
    return inner.join if hello.host == JOIN_HOST else inner.api


def site_of(peer: Sequence[Any] | None) -> str:
    """Whose a connection counts as: the IPv4 address, or the /64 of the IPv6 address, of a socket's peer name; "" of one that has gone."""
    if not peer:
        return ""
    address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))
    return str(address)


class Door:
    """Hands connections on; give :meth:`admit` to :func:`asyncio.start_server`."""

    def __init__(
        self,
        context: ssl.SSLContext,
        inner: Inner,
        *,
        hello_s: float = HELLO_S,
        inner_s: float = INNER_S,
        most: int = MOST_CONNECTIONS,
        most_of_one: int = MOST_OF_ONE,
    ) -> None:
        self._context, self._inner, self._hello_s, self._inner_s = context, inner, hello_s, inner_s
        self._most, self._most_of_one = most, most_of_one
        self._open: Counter[str] = Counter()

    async def admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its greeting to its end."""
        site = site_of(writer.get_extra_info("peername"))
        if self._open.total() >= self._most or self._open[site] >= self._most_of_one:
            writer.transport.abort()
            return
        self._open[site] += 1
        try:
            await self._pass(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open[site] -= 1
            if not self._open[site]:
                del self._open[site]
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(self._hello_s):
            read, hello = await self._hello(reader)
        if hello is None:
            return
        inner_reader, inner_writer = await self._reached(inner_port(hello, self._inner))
        try:
            inner_writer.write(read)
            ways = [asyncio.create_task(_pump(reader, inner_writer)), asyncio.create_task(_pump(inner_reader, writer))]
            _, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if left:
                await asyncio.wait(left, timeout=LINGER_S)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            await _close(writer)
        finally:
            inner_writer.transport.abort()

    async def _reached(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(self._inner_s):
            while True:
                try:
                    return await asyncio.open_connection(LOOPBACK, port)
                except ConnectionRefusedError:
                    await asyncio.sleep(AGAIN_S)

    async def _hello(self, reader: asyncio.StreamReader) -> tuple[bytes, Hello | None]:
        greeting, read = Greeting(self._context), b""
        while len(read) < LARGEST_HELLO:
            piece = await reader.read(4096)
            if not piece:
                break
            read += piece
            if (hello := greeting.read(piece)) is not None:
                return read, hello
        return read, None


async def serve(door: Door, host: str, port: int) -> None:
    """Listens until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with await asyncio.start_server(door.admit, host, port):
        await ended.wait()


def main(arguments: list[str] | None = None) -> None:
    """``python -m server.door --host 0.0.0.0 --port 8443 --web 9000 --api 9001 --join 9002 --certificate … --key …``."""
    parser = argparse.ArgumentParser(description="Hand each connection on to who serves its kind.")
    parser.add_argument("--host", required=True)
    for name in ("--port", "--web", "--api", "--join"):
        parser.add_argument(name, type=int, required=True)
    for name in ("--certificate", "--key"):
        parser.add_argument(name, type=Path, required=True)
    options = parser.parse_args(arguments)
    door = Door(sieve(options.certificate, options.key), Inner(options.web, options.api, options.join))
    asyncio.run(serve(door, options.host, options.port))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def _close(writer: asyncio.StreamWriter) -> None:
    """Closes once what was written is sent, which an abort would throw away; waits at most :data:`LINGER_S`."""
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(LINGER_S):
            await writer.wait_closed()


def _note_host(handshake: ssl.SSLObject, host: str | None, _: ssl.SSLContext) -> None:
    vars(handshake)["asked_host"] = host


if __name__ == "__main__":
    main()
