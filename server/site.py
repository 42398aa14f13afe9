"""The coordinator's folder: its configuration, identity, roster and store, and where each run's files lie."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.database import store_url
from server.store import Store
from server.superlink import CoordinatorFolder
from shared.config import FederationConfig, load_config
from shared.errors import IdentityError
from shared.identity import load_identity, load_roster, public_bytes
from shared.secagg.roster import Roster

PLAN_FILE = "plan.json"
"""The signed plan of a run, in the run's folder."""


@dataclass(frozen=True)
class CoordinatorSite:
    """Where the coordinator's parts lie; properties raise the error of what is wrong. ``database`` is the store's URL in
    place of the one of ``server/database.py``.

    With ``run`` the roster is that run's own: who was on it when the run began and has not been revoked since.
    """

    folder: Path
    database: str | None = None
    run: str | None = None

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
        now = self.current_roster()
        before = self.store.run_config(self.run) if self.run is not None else None
        if before is None or before[1] == now.digest or not (kept := self._kept_roster(before[1])).exists():
            return now
        members = {name: key for name, key in load_roster(kept).members.items() if now.members.get(name) == key}
        return Roster(members=members, coordinator=now.coordinator)

    def goes_on(self, digest: bytes) -> bool:
        """Whether a run that began with the roster of this digest may go on with the one of now: it is the same, or a part of it."""
        return digest == self.roster.digest or (self.run is not None and self._kept_roster(digest).exists())

    def _kept_roster(self, digest: bytes) -> Path:
        return CoordinatorFolder(self.folder).rosters / f"{digest.hex()}.json"

    def current_roster(self) -> Roster:
        """The roster as it is on disk now: it changes while a service runs."""
        return load_roster(self.folder / "roster.json")

    def plans(self) -> dict[str, Path]:
        """Where the signed plan of each run lies that has one."""
        return {path.parent.name: path for path in sorted((self.folder / "runs").glob(f"*/{PLAN_FILE}"))}

    @cached_property
    def store(self) -> Store:
        """The durable state."""
        return Store(self.database or store_url(self.folder))

    def run_folder(self, run: str) -> Path:
        """Where a run's models, checkpoints and artifact lie."""
        return self.folder / "runs" / run
