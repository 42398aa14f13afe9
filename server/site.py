"""The coordinator's folder: its configuration, identity, roster and store, and where each run's files lie."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.store import Store
from shared.config import FederationConfig, load_config
from shared.errors import IdentityError
from shared.identity import load_identity, load_roster, public_bytes
from shared.secagg.roster import Roster

PLAN_FILE = "plan.json"
"""The signed plan of a run, in the run's folder."""


@dataclass(frozen=True)
class CoordinatorSite:
    """Where the coordinator's parts lie; properties raise the error of what is wrong. ``database`` overrides the SQLite file."""

    folder: Path
    database: str | None = None

    @cached_property
    def config(self) -> FederationConfig:
        """federation.toml."""
        return load_config(FederationConfig, self.folder / "federation.toml")

    @cached_property
    def identity(self) -> Ed25519PrivateKey:
        """The key that signs requests and artifacts; raises :class:`IdentityError` if the roster names another one."""
        key = load_identity(self.folder / "keys" / "identity.key")
        if self.roster.coordinator != public_bytes(key):
            raise IdentityError(f"the roster in {self.folder} names another coordinator key; restore the key that institutions have pinned")
        return key

    @cached_property
    def roster(self) -> Roster:
        """Members and the coordinator's own public key, as every institution has pinned them."""
        return load_roster(self.folder / "roster.json")

    def current_roster(self) -> Roster:
        """The roster as it is on disk now: it changes while a service runs."""
        return load_roster(self.folder / "roster.json")

    def plans(self) -> dict[str, Path]:
        """Where the signed plan of each run lies that has one."""
        return {path.parent.name: path for path in sorted((self.folder / "runs").glob(f"*/{PLAN_FILE}"))}

    @cached_property
    def store(self) -> Store:
        """The durable state."""
        return Store(self.database or f"sqlite:///{self.folder.absolute() / 'store.sqlite'}")

    def run_folder(self, run: str) -> Path:
        """Where a run's models, checkpoints and artifact lie."""
        return self.folder / "runs" / run
