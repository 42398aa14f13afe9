"""Keys between two institutions: one X25519 exchange an epoch, a ratchet by round, and what a round derives from it.

``K_uv = HKDF(X25519(u, v), epoch ‖ ordered pair)``. Round r uses the r-th key of the chain ``K ← HKDF(K, "next")``; older
keys are erased, so a key that leaks later opens no earlier round. The round's mask seed and seal keys are derived from
the chain key with the round's whole context, so that a round with another plan has other masks and other seals.
"""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.secagg.errors import ForgedMessage, WrongShare
from shared.secagg.signing import pack

KEY_BYTES = 32
_NONCE = bytes(12)  # A seal key is derived for one message of one sender in one round: it never meets a second plaintext.


def epoch_pair_key(own: X25519PrivateKey, peer: bytes, run: str, epoch: int, pair: tuple[str, str]) -> bytes:
    """The chain's key for round 0 between an ordered pair. Raises :class:`ForgedMessage` for a key of low order."""
    try:
        secret = own.exchange(X25519PublicKey.from_public_bytes(peer))
    except ValueError as error:
        raise ForgedMessage(f"the epoch key of one of {' and '.join(pair)} is no usable X25519 key") from error
    return _derive(secret, "fedstill/pair/v1", run, epoch, *sorted(pair))


def ratchet(key: bytes, steps: int) -> bytes:
    """The chain's key ``steps`` rounds later; there is no way back."""
    for _ in range(steps):
        key = _derive(key, "fedstill/next/v1")
    return key


def mask_seed(key: bytes, context: bytes, pair: tuple[str, str]) -> bytes:
    """The pair's mask seed of the round with ``context``; both ends derive the same."""
    return _derive(key, "fedstill/mask/v1", context, *sorted(pair))


def commitment(context: bytes, dealer: str, peer: str, seed: bytes) -> bytes:
    """A commitment to a uniform 32-byte seed: SHA-256 hides it, since nobody can try 2^256 seeds. ``peer`` "" is the self-mask."""
    return hashlib.sha256(pack("fedstill/commitment/v1", context, dealer, peer, seed)).digest()


def seal(key: bytes, context: bytes, sender: str, receiver: str, content: bytes) -> bytes:
    """``content`` for ``receiver`` alone, bound to the round, the sender and the receiver (AES-256-GCM)."""
    return AESGCM(_seal_key(key, context, sender, receiver)).encrypt(_NONCE, content, pack("seal", context, sender, receiver))


def unseal(key: bytes, context: bytes, sender: str, receiver: str, sealed: bytes) -> bytes:
    """What :func:`seal` closed. Raises :class:`WrongShare` if anything about it is not as it was sealed."""
    try:
        return AESGCM(_seal_key(key, context, sender, receiver)).decrypt(_NONCE, sealed, pack("seal", context, sender, receiver))
    except (InvalidTag, ValueError) as error:
        raise WrongShare(
            f"the share that '{sender}' sealed for '{receiver}' does not open; it was changed, moved or is another round's"
        ) from error


def _seal_key(key: bytes, context: bytes, sender: str, receiver: str) -> bytes:
    return _derive(key, "fedstill/seal/v1", context, sender, receiver)


def _derive(secret: bytes, label: str, *parts: bytes | str | int) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=pack(label, *parts)).derive(secret)
