"""What faces outwards, together: the door on the public port, and behind it on loopback the gateway, the API and the console."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from datetime import timedelta

import httpx

from server.superlink import CoordinatorFolder, api, console, door, gateway
from shared.certificates import hosts_of, lets_join, load_authority, load_certificate, make_server_certificate
from shared.client_certificates import needs_renewal
from shared.hosting import LOOPBACK
from shared.processes import Supervisor, free_port

RENEW_BEFORE = timedelta(days=60)
"""The server's certificate is renewed by itself once less than this is left of it."""
PROCESSES = ("gateway", "api", "console", "door")
EXPENDABLE = frozenset({"console"})
"""What may fail again and again without ending a run: nothing but looking depends on it."""


class Frontage:
    """The processes, kept by ``supervisor``, of which the door alone listens beyond loopback; without ``console`` there is none."""

    def __init__(self, home: CoordinatorFolder, supervisor: Supervisor, host: str, port: int, *, console: bool = True) -> None:
        self._home, self._supervisor, self._host, self._port, self._console = home, supervisor, host, port, console
        self.ports: Mapping[str, int] = {}

    def start(self, superlink_port: int | None = None) -> None:
        """Starts all of them; without a SuperLink every fleet call is answered that no run is on."""
        renew_if_due(self._home)
        names = ("gateway", "api", "join", *(("console",) if self._console else ()))
        self.ports = {name: free_port() for name in names}
        if self._console:
            self._supervisor.start(console(self._home, self.ports["console"]))
        self._supervisor.start(gateway(self._home, self.ports["gateway"], superlink_port, self.ports.get("console")))
        self._supervisor.start(api(self._home, self.ports["api"], self.ports["join"]))
        self._supervisor.start(door(self._home, self._host, self._port, self.ports))

    def answers(self) -> bool:
        """Whether the way through the door works: what is not for outside is refused with 403."""
        trust = ssl.create_default_context(cafile=str(self._home.ca))
        where = {"0.0.0.0": LOOPBACK, "::": "[::1]"}.get(self._host, self._host)
        trust.check_hostname = where == LOOPBACK
        try:
            return httpx.get(f"https://{where}:{self._port}/", verify=trust, timeout=5.0, trust_env=False).status_code == 403
        except httpx.TransportError:
            return False

    def renew(self) -> bool:
        """Renews the server's certificate if it is due, and starts the processes again that show it; whether it was."""
        if not renew_if_due(self._home):
            return False
        for name in PROCESSES:
            if name != "console" or self._console:
                self._supervisor.restart(name)
        return True


def renew_if_due(home: CoordinatorFolder) -> bool:
    """Makes a new server certificate, for the same names, if the old one ends soon; nobody has pinned it, all pin the CA."""
    certificate = load_certificate(home.certificate, ended_too=True)
    if not needs_renewal(certificate, before=RENEW_BEFORE) and lets_join(certificate):
        return False
    make_server_certificate(home.keys, load_authority(home.keys), hosts_of(certificate))
    return True
