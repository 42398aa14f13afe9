"""A coordinator whose door is open, on loopback, within the test's own process: door, gateway without SuperLink, API and console."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from client.folder import InstitutionFolder
from client.joining import Joined, join
from client.provision import init_institution
from server.api import Api
from server.console.app import make_app as make_console
from server.console.pulse import Pulse
from server.door import Door, Inner, sieve
from server.gateway import make_app
from server.membership import Membership
from server.provision import init_coordinator
from server.site import CoordinatorSite
from server.superlink import CoordinatorFolder
from shared.client_certificates import client_key, make_request
from shared.config import FederationConfig, InstitutionConfig
from shared.enrolment import Connection
from shared.files import write_atomic
from shared.invitation import Token, prove
from shared.processes import free_port
from tests.support.small import federation_table

HOUR_S = 3600.0


@dataclass(frozen=True)
class Opened:
    """An open coordinator: its folder, its public port, and what it lets do."""

    folder: Path
    port: int

    @property
    def connection(self) -> Connection:
        return Connection(address=f"127.0.0.1:{self.port}")

    @property
    def membership(self) -> Membership:
        return Membership(self.folder)

    def invite(self, name: str, lasts_s: float = HOUR_S, *, now: float | None = None) -> Token:
        return self.membership.invite(name, self.connection, lasts_s, now=now)

    def let_in(self, name: str, folder: Path) -> Joined:
        """Invites ``name`` and lets it join from ``folder``."""
        return join(folder, self.invite(name), institution(name, folder))


def institution(name: str, folder: Path) -> InstitutionConfig:
    """The configuration of a small institution."""
    table = federation_table(2)
    data = {"source": "arrays", "path": str(folder / "records.npz")}
    return InstitutionConfig.model_validate({"name": name, "task": table["task"], "student": table["student"], "data": data})


def make_coordinator(folder: Path) -> Path:
    """A coordinator's folder with keys and certificates, and nobody on its roster."""
    init_coordinator(folder, FederationConfig.model_validate(federation_table(2)), ["127.0.0.1"])
    return folder


def make_member(folder: Path, home: Path) -> Path:
    """Lets the institution of the new folder ``home`` in, without a door: it has its keys, its certificate and the CA's."""
    name, place, membership = home.name, InstitutionFolder(home), Membership(folder)
    enrolment = init_institution(home, institution(name, home)).canonical()
    request = make_request(client_key(place.client_key), name)
    token = membership.invite(name, Connection(address="127.0.0.1:8443"), HOUR_S)
    certificate, _ = membership.join(token.public, enrolment, request, prove(token, enrolment, request))
    write_atomic(place.certificate, certificate)
    write_atomic(place.ca, CoordinatorFolder(folder).ca.read_bytes())
    return home


@contextmanager
def opened(folder: Path) -> Iterator[Opened]:
    """Opens the door of the coordinator in ``folder``, and shuts it when the block ends."""
    ready, port = threading.Event(), free_port()
    ended: list[Any] = []
    thread = threading.Thread(target=lambda: asyncio.run(_serve(folder, port, ready, ended)), daemon=True)
    thread.start()
    assert ready.wait(30), "the coordinator's door did not open"
    try:
        yield Opened(folder, port)
    finally:
        loop, event = ended
        loop.call_soon_threadsafe(event.set)
        thread.join(30)


async def _serve(folder: Path, port: int, ready: threading.Event, ended: list[Any]) -> None:
    home, stop = CoordinatorFolder(folder), asyncio.Event()
    api = Api(folder, look_s=0.05)
    mutual, join_port = api.listen()
    await api.start()
    with socket.socket() as looking, socket.socket() as listening:
        for one in (looking, listening):
            one.bind(("127.0.0.1", 0))
        console = _web(make_console(folder, pulse=Pulse(CoordinatorSite(folder), look_s=0.05)), home)
        gateway = _web(make_app(None, home.ca, f"https://127.0.0.1:{looking.getsockname()[1]}"), home)
        serving = [asyncio.create_task(console.serve([looking])), asyncio.create_task(gateway.serve([listening]))]
        door = Door(sieve(home.certificate, home.server_key), Inner(listening.getsockname()[1], mutual, join_port))
        async with await asyncio.start_server(door.admit, "127.0.0.1", port):
            ended.extend([asyncio.get_running_loop(), stop])
            ready.set()
            await stop.wait()
        console.should_exit = gateway.should_exit = True
        await asyncio.gather(*serving)
        await api.stop(0.5)


def _web(app: Any, home: CoordinatorFolder) -> uvicorn.Server:
    certificate, key = str(home.certificate), str(home.server_key)
    config = uvicorn.Config(app, log_level="warning", ws="none", proxy_headers=False, ssl_certfile=certificate, ssl_keyfile=key)
    config.timeout_graceful_shutdown = 1
    return uvicorn.Server(config)
