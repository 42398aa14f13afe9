"""Keys: X25519 for an epoch, a ratcheted key for each pair, and what is derived from it for one round and purpose.

``K_0 = HKDF(X25519(u, v), run ‖ epoch ‖ roster digest ‖ the two names and public keys in order of names)``. For round
``r`` the key is stepped ``r`` times, ``K ← HKDF(K, "next")``, so institutions that missed rounds meet again. The key
before a step is dropped: whoever reads an institution's state later cannot derive the seeds of an earlier round.
(Python cannot promise that dropped bytes leave the process's memory; they do leave the state that is stored.)

HKDF is RFC 5869 with SHA-256; each derivation binds a purpose and the round's context (``signing.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from shared.secagg.errors import ForgedMessage
from shared.secagg.messages import EpochKey
from shared.secagg.signing import pack

KEY_BYTES = 32
"""Length of every key and seed."""
_ANY_KEY = X25519PrivateKey.from_private_bytes(bytes(KEY_BYTES))
"""No secret. A public key is of small order for everyone or for nobody (RFC 7748, section 6.1)."""


def ordered(one: str, other: str) -> tuple[str, str]:
    """A pair of institutions in order of names: both ends derive the same."""
    return (one, other) if one < other else (other, one)


def public_key(private: bytes) -> bytes:
    """The raw X25519 public key of a raw private one."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def check_usable(key: EpochKey) -> None:
    """Raises :class:`ForgedMessage`, naming its owner, for a public key of small order: a secret shared with it is no secret.

    Its owner can make and sign one, and who does stops every round; so it is told before anybody works for one.
    """
    _exchange(_ANY_KEY, key)


def first_pair_keys(private: bytes, own: EpochKey, peers: Iterable[EpochKey]) -> dict[str, bytes]:
    """The key of each pair by peer, before any step; raises :class:`ForgedMessage` for a public key of small order."""
    loaded = X25519PrivateKey.from_private_bytes(private)  # once: it takes as long as an exchange
    return {peer.institution: _first_pair_key(loaded, own, peer) for peer in peers}


def pair_seed(key: bytes, context: bytes, one: str, other: str) -> bytes:
    """The seed of the mask that two institutions share in one round; the same from both ends."""
    return _derive(key, pack("mask", context, *ordered(one, other)))


def seal_key(key: bytes, context: bytes, sender: str, receiver: str) -> bytes:
    """The key under which ``sender`` seals its shares to ``receiver`` in one round."""
    return _derive(key, pack("seal-key", context, sender, receiver))


@dataclass(frozen=True)
class Ratchet:
    """The pair keys of one institution by peer, all stepped to ``round``."""

    round: int
    keys: Mapping[str, bytes]

    def at(self, round_number: int) -> Ratchet:
        """The same keys stepped forward to a later round. There is no way back."""
        if round_number < self.round:
            raise ValueError(f"keys of round {self.round} cannot be turned back to round {round_number}")
        keys = dict(self.keys)
        for _ in range(round_number - self.round):
            keys = {peer: _derive(key, pack("next")) for peer, key in keys.items()}
        return Ratchet(round_number, keys)


def _exchange(private: X25519PrivateKey, peer: EpochKey) -> bytes:
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(peer.public_key))
    except ValueError as error:
        raise ForgedMessage(f"the epoch key of '{peer.institution}' is not a usable X25519 key") from error


def _first_pair_key(private: X25519PrivateKey, own: EpochKey, peer: EpochKey) -> bytes:
    secret = _exchange(private, peer)
    low, high = (own, peer) if own.institution < peer.institution else (peer, own)
    info = pack(
        "pair-key",
        *(own.run, own.epoch, own.roster_digest),
        *(low.institution, low.public_key, high.institution, high.public_key),
    )
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(secret)


def _derive(key: bytes, info: bytes) -> bytes:
    return HKDFExpand(SHA256(), KEY_BYTES, info).derive(key)
