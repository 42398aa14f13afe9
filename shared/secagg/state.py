"""What an institution must not forget between two messages of an epoch, as one frozen value with an encoding of its own."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from shared.secagg.errors import LostEpoch
from shared.secagg.keys import ratchet
from shared.secagg.messages import EpochKey


@dataclass(frozen=True)
class OpenRound:
    """A round that was masked and not yet unmasked: its context, the own shares of the own seeds, and the set agreed on."""

    context: bytes
    own_shares: bytes
    agreed: tuple[str, ...] = ()

    def agreeing(self, survivors: tuple[str, ...]) -> OpenRound:
        """The round with its one smaller surviving set signed."""
        return replace(self, agreed=survivors)


@dataclass(frozen=True)
class EpochState:
    """``private`` is the X25519 key until the peers are met, then empty; ``chains[peer]`` is (round, chain key of that round).

    ``last_round`` is the newest round masked; ``current`` is that round while it can still be unmasked.
    """

    key: EpochKey
    private: bytes
    peers: Mapping[str, bytes] = field(default_factory=dict)
    chains: Mapping[str, tuple[int, bytes]] = field(default_factory=dict)
    last_round: int = 0
    current: OpenRound | None = None

    def having_met(self, peers: Mapping[str, bytes], chains: Mapping[str, tuple[int, bytes]]) -> EpochState:
        """The epoch's other keys are known; the private key is no longer needed."""
        return replace(self, private=b"", peers=peers, chains=chains)

    def with_round(self, number: int, chains: Mapping[str, bytes], current: OpenRound) -> EpochState:
        """A round was masked; chain keys of earlier rounds are gone."""
        return replace(self, last_round=number, chains={name: (number, key) for name, key in chains.items()}, current=current)

    def with_open(self, current: OpenRound) -> EpochState:
        """The open round changed."""
        return replace(self, current=current)

    def after_round(self, number: int) -> EpochState:
        """The round was unmasked: its chain keys are replaced by the next ones, its shares forgotten."""
        chains = {name: (number + 1, ratchet(key, number + 1 - at)) for name, (at, key) in self.chains.items()}
        return replace(self, chains=chains, current=None)

    def encode(self) -> bytes:
        """The state as JSON (bytes in base64)."""
        key = {**self.key.__dict__, "roster_digest": _text(self.key.roster_digest), "public_key": _text(self.key.public_key)}
        key["signature"] = _text(self.key.signature)
        current = self.current and {
            "context": _text(self.current.context),
            "own_shares": _text(self.current.own_shares),
            "agreed": list(self.current.agreed),
        }
        table = {
            "version": 1,
            "key": key,
            "private": _text(self.private),
            "peers": {name: _text(public) for name, public in self.peers.items()},
            "chains": {name: [at, _text(chain)] for name, (at, chain) in self.chains.items()},
            "last_round": self.last_round,
            "current": current,
        }
        return json.dumps(table, sort_keys=True).encode()

    @classmethod
    def decode(cls, content: bytes) -> EpochState:
        """What :meth:`encode` gave. Raises :class:`LostEpoch` for anything else."""
        try:
            return _decode(json.loads(content))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LostEpoch("the stored state of an epoch is damaged; open a new epoch") from error


def _decode(table: dict[str, Any]) -> EpochState:
    if table["version"] != 1:
        raise ValueError("another version")
    fields = table["key"]
    key = EpochKey(
        institution=str(fields["institution"]),
        run=str(fields["run"]),
        epoch=int(fields["epoch"]),
        roster_digest=_bytes(fields["roster_digest"]),
        public_key=_bytes(fields["public_key"]),
        signature=_bytes(fields["signature"]),
    )
    current = table["current"]
    return EpochState(
        key=key,
        private=_bytes(table["private"]),
        peers={name: _bytes(public) for name, public in table["peers"].items()},
        chains={name: (int(at), _bytes(chain)) for name, (at, chain) in table["chains"].items()},
        last_round=int(table["last_round"]),
        current=current and OpenRound(_bytes(current["context"]), _bytes(current["own_shares"]), tuple(current["agreed"])),
    )


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
