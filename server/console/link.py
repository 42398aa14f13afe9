"""The link that an operator opens to sign in to the console."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from server.console.access import Access
from server.console.federation import service_status
from server.console.paths import LOGIN
from server.superlink import CoordinatorFolder
from shared.certificates import hosts_of, load_certificate
from shared.config import check_config
from shared.enrolment import Connection

USUAL_PORT = 8443
"""The door's port unless a service says another one."""


@dataclass(frozen=True)
class Link:
    """``url`` has the code behind its ``#``, which browsers send to nobody; ``open`` says whether the console can be reached now."""

    url: str
    open: bool


def make_link(folder: Path, lasts_s: float, address: str | None = None) -> Link:
    """A link that holds once, for ``lasts_s`` seconds, to ``address`` (``HOST:PORT``) or where the door is.

    Raises :class:`ConfigError` for what is no address, and the error of a folder that is not a coordinator's.
    """
    home = CoordinatorFolder(folder)
    host, status = hosts_of(load_certificate(home.certificate))[0], service_status(home)
    where = address or f"{host}:{status.ports.get('door', USUAL_PORT)}"
    checked = check_config(Connection, {"address": where}, where="--address").address
    return Link(f"https://{checked}{LOGIN}#{Access(folder).make_code(lasts_s)}", "console" in status.ports)
