"""The roster: who may take part, each with the public key that everyone has pinned."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

_LABEL = b"fedstill/roster/v1"


@dataclass(frozen=True)
class Roster:
    """Members by name with their raw Ed25519 public keys (32 bytes each), and the coordinator's."""

    members: Mapping[str, bytes]
    coordinator: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 over a label, the coordinator's key, and every name and key in order of names, length-prefixed."""
        parts = [_LABEL, self.coordinator]
        for name in sorted(self.members):
            parts += [name.encode(), self.members[name]]
        return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()
