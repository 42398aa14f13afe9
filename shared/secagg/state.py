"""What an institution must remember of an epoch between two messages, and its bytes for the durable ledger.

These bytes hold secrets: the ledger keeps them readable by their owner only. They hold no key of a round that has
been answered to its end, and none from which an earlier round's seeds could be derived.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from shared.secagg.errors import LostEpoch
from shared.secagg.keys import Ratchet
from shared.secagg.messages import EpochKey

FORMAT = "fedstill/secagg/epoch/v1"
"""Names the encoding of :func:`pack`."""


@dataclass(frozen=True)
class RoundSecrets:
    """One round, from the masked answer to the unmasking one.

    ``own_shares``: this institution's shares of its own secrets; ``seal_keys``: by sender, the key that opens its shares;
    ``signed``: the smaller surviving set it has signed (empty: none yet); ``answered``: it gave its shares, and kept none.
    """

    context: bytes
    own_shares: bytes
    seal_keys: Mapping[str, bytes]
    signed: tuple[str, ...] = ()
    answered: bool = False

    def finished(self) -> RoundSecrets:
        """The same without secrets, answered."""
        return replace(self, own_shares=b"", seal_keys={}, answered=True)


@dataclass(frozen=True)
class EpochState:
    """``private_key`` is there until the first masked round, ``ratchet`` from then on; ``peers`` are the pinned keys of the epoch."""

    key: EpochKey
    private_key: bytes
    peers: tuple[EpochKey, ...] = ()
    ratchet: Ratchet | None = None
    last_round: int = 0
    secrets: RoundSecrets | None = None


def pack(state: EpochState) -> bytes:
    """The bytes of a state: canonical JSON, binary values in hexadecimal."""
    ratchet, secrets = state.ratchet, state.secrets
    content = {
        "format": FORMAT,
        "key": _packed_key(state.key),
        "private_key": state.private_key.hex(),
        "peers": [_packed_key(key) for key in state.peers],
        "ratchet": None if ratchet is None else {"round": ratchet.round, "keys": _packed(ratchet.keys)},
        "last_round": state.last_round,
        "secrets": None
        if secrets is None
        else {
            "context": secrets.context.hex(),
            "own_shares": secrets.own_shares.hex(),
            "seal_keys": _packed(secrets.seal_keys),
            "signed": list(secrets.signed),
            "answered": secrets.answered,
        },
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def unpack(content: bytes) -> EpochState:
    """The state that :func:`pack` wrote; raises :class:`LostEpoch` if it cannot be read."""
    try:
        fields = json.loads(content)
        if fields["format"] != FORMAT:
            raise ValueError("another format")
        ratchet, secrets = fields["ratchet"], fields["secrets"]
        return EpochState(
            key=_key(fields["key"]),
            private_key=bytes.fromhex(fields["private_key"]),
            peers=tuple(_key(peer) for peer in fields["peers"]),
            ratchet=None if ratchet is None else Ratchet(int(ratchet["round"]), _mapping(ratchet["keys"])),
            last_round=int(fields["last_round"]),
            secrets=None if secrets is None else _secrets(secrets),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise LostEpoch("the stored state of the epoch cannot be read; a new epoch must be opened") from error


def _secrets(fields: Mapping[str, object]) -> RoundSecrets:
    return RoundSecrets(
        context=bytes.fromhex(str(fields["context"])),
        own_shares=bytes.fromhex(str(fields["own_shares"])),
        seal_keys=_mapping(fields["seal_keys"]),
        signed=_names(fields["signed"]),
        answered=bool(fields["answered"]),
    )


def _packed_key(key: EpochKey) -> dict[str, object]:
    return {
        "institution": key.institution,
        "run": key.run,
        "epoch": key.epoch,
        "roster_digest": key.roster_digest.hex(),
        "public_key": key.public_key.hex(),
        "signature": key.signature.hex(),
    }


def _key(fields: Mapping[str, object]) -> EpochKey:
    binary = {name: bytes.fromhex(str(fields[name])) for name in ("roster_digest", "public_key", "signature")}
    epoch = fields["epoch"]
    if not isinstance(epoch, int):
        raise TypeError("an epoch is a number")
    return EpochKey(institution=str(fields["institution"]), run=str(fields["run"]), epoch=epoch, **binary)


def _packed(mapping: Mapping[str, bytes]) -> dict[str, str]:
    return {name: value.hex() for name, value in mapping.items()}


def _mapping(fields: object) -> dict[str, bytes]:
    if not isinstance(fields, dict):
        raise TypeError("a mapping is expected")
    return {str(name): bytes.fromhex(value) for name, value in fields.items()}


def _names(fields: object) -> tuple[str, ...]:
    if not isinstance(fields, list):
        raise TypeError("a list of names is expected")
    return tuple(str(name) for name in fields)
