"""Where the things of an institution's service lie under its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class InstitutionFolder:
    """The places under one institution's folder."""

    folder: Path

    @property
    def ca(self) -> Path:
        """The pinned certificate of the coordinator's CA."""
        return self.folder / "ca.crt"

    @property
    def client_key(self) -> Path:
        """The private key of the certificate."""
        return self.folder / "keys" / "client.key"

    @property
    def certificate(self) -> Path:
        """The certificate by which the institution proves itself to the coordinator's API; none where it was enrolled by hand."""
        return self.folder / "keys" / "client.pem"

    @property
    def connection(self) -> Path:
        """The pinned address of the coordinator."""
        return self.folder / "coordinator.json"

    @property
    def node_key(self) -> Path:
        """The SuperNode's private key."""
        return self.folder / "keys" / "node"

    @property
    def next_node_key(self) -> Path:
        """The one that is to take its place once the coordinator has let it in."""
        return self.folder / "keys" / "node.new"

    @property
    def flower(self) -> Path:
        """Everything of Flower's: its home, the worker's secret, signs of life, our lock."""
        return self.folder / "flower"

    @property
    def secret(self) -> Path:
        """What the SuperNode and the worker share (0600)."""
        return self.flower / "worker.secret"

    @property
    def alive(self) -> Path:
        """Touched by the SuperNode while it is connected."""
        return self.flower / "alive"

    @property
    def node_config(self) -> Path:
        """What the SuperNode tells the ClientApp. A file, because Flower's command line cannot quote every path."""
        return self.flower / "node.toml"

    @property
    def status(self) -> Path:
        """How the service is (``shared/service.py``)."""
        return self.flower / "status.json"

    def log(self, name: str) -> Path:
        """The log of one process."""
        return self.folder / "logs" / f"{name}.log"
