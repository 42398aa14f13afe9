"""The console of a coordinator's folder, asked as a browser would, without a network or through the whole door."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

from server.console.access import Access
from server.console.app import make_app
from server.console.paths import LOGIN
from server.provision import make_certificates
from server.superlink import CoordinatorFolder
from tests.support.opened import Opened
from tests.support.small import SmallFederation, make_federation

Answer = TypeVar("Answer")


def played(folder: Path, count: int = 3, **changed: Any) -> SmallFederation:
    """A federation that has run to its end, with the certificates that a deployed coordinator has."""
    federation = make_federation(folder, count, **changed)
    make_certificates(federation.coordinator, "small", [])
    federation.run()
    return federation


def ask(folder: Path, calls: Callable[[httpx.AsyncClient], Awaitable[Answer]], *, signed_in: bool = True, **parts: Any) -> Answer:
    """What ``calls`` gets from the console of ``folder``; ``parts`` go to :func:`make_app`."""

    async def run() -> Answer:
        transport = httpx.ASGITransport(make_app(folder, **parts))
        async with httpx.AsyncClient(transport=transport, base_url="https://fl.example.org") as client:
            if signed_in:
                assert (await client.post(LOGIN, data={"code": Access(folder).make_code()})).status_code == 303
            return await calls(client)

    return asyncio.run(run())


def get(folder: Path, path: str, **options: Any) -> httpx.Response:
    """One answer to somebody who is signed in."""
    return ask(folder, lambda client: client.get(path, **options))


@contextmanager
def browser(coordinator: Opened) -> Iterator[httpx.Client]:
    """Somebody outside with the CA's certificate and no session, who comes in by the public port."""
    trust = ssl.create_default_context(cafile=str(CoordinatorFolder(coordinator.folder).ca))
    with httpx.Client(base_url=f"https://127.0.0.1:{coordinator.port}", verify=trust, timeout=20, trust_env=False) as client:
        yield client


def sign_in(client: httpx.Client, folder: Path) -> httpx.Response:
    """Signs in with a new code."""
    return client.post(LOGIN, data={"code": Access(folder).make_code()})
