"""An institution's folder: its configuration, identity, pinned roster, teacher and state, each loaded once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.ledger import Ledger
from client.models import ModelStore
from shared.config import InstitutionConfig, load_config
from shared.errors import IdentityError
from shared.identity import load_identity, load_roster, public_bytes
from shared.secagg.institution import SecaggPolicy
from shared.secagg.roster import Roster


@dataclass(frozen=True)
class InstitutionSite:
    """Where an institution's parts lie (``docs/configuration.md`` lists them); properties raise the error of what is wrong."""

    folder: Path

    @cached_property
    def config(self) -> InstitutionConfig:
        """institution.toml."""
        return load_config(InstitutionConfig, self.folder / "institution.toml")

    @cached_property
    def identity(self) -> Ed25519PrivateKey:
        """The signing key; raises :class:`IdentityError` if the pinned roster knows this institution by another one."""
        key = load_identity(self.folder / "keys" / "identity.key")
        if self.roster.members.get(self.config.name) != public_bytes(key):
            raise IdentityError(
                f"the roster in {self.folder} has no institution '{self.config.name}' with this identity key; "
                "enrol again or restore the key that was enrolled"
            )
        return key

    @cached_property
    def roster(self) -> Roster:
        """The pinned roster."""
        return load_roster(self.folder / "roster.json")

    @cached_property
    def ledger(self) -> Ledger:
        """The durable memory in ``state/ledger.sqlite``."""
        return Ledger(self.folder / "state" / "ledger.sqlite")

    @cached_property
    def models(self) -> ModelStore:
        """The newest model that came, in ``state/model.safetensors``."""
        return ModelStore(self.folder / "state" / "model.safetensors")

    @cached_property
    def protocol_policy(self) -> SecaggPolicy:
        """The part of the policy that secure aggregation itself enforces."""
        policy = self.config.policy
        return SecaggPolicy(
            smallest_cohort=policy.smallest_cohort,
            collusion=policy.collusion,
            longest_clip_norm=policy.longest_clip_norm,
            most_rounds=policy.most_rounds,
            least_noise=policy.least_noise,
        )


def round_generator(seed: int, institution: str, round_number: int, purpose: str) -> np.random.Generator:
    """The random numbers of one purpose in one round of one institution: PCG64 over a SHA-256 of the four.

    Asked the same round again, after a restart or not, an institution draws the same numbers.
    """
    parts = ("fedstill/seed/v1", str(seed), institution, str(round_number), purpose)
    text = b"".join(len(part.encode()).to_bytes(8, "big") + part.encode() for part in parts)
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(text).digest(), "big")))
